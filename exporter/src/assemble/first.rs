//! The first process of a machine: the distribution's init, or vmimage's own.

use std::sync::Arc;

use super::bootable;
use crate::boot::Defaults;
use crate::error::{Error, Kind, Result};
use crate::hint::{Hint, Setting};
use crate::machine::early::{self, Early};
use crate::machine::init::{self, Contained};
use crate::machine::persist::Kept;
use crate::machine::{self, PlannedService, wanted_service};
use crate::spec::{Container, Init, Profile, Service, Spec};
use crate::tree::{Editor, Time, Tree};

/// What the kernel starts.
pub(super) const INIT: &str = "/sbin/init";

/// Which one it is.
pub(super) enum FirstProcess<'a> {
    /// The init that the image has, beside which its program becomes a service.
    Distro(Box<PlannedService<'a>>),
    /// vmimage's own, which runs the image's program and nothing else.
    Own,
}

impl<'a> FirstProcess<'a> {
    /// The one for the tree of `editor`, out of which goes what a container's engine has left; a line for each change.
    ///
    /// # Errors
    /// Contradictions of `spec`, and what would keep a service from starting.
    pub(super) fn choose(
        editor: &mut Editor<'_>,
        spec: &'a Spec,
        has_donor: bool,
    ) -> Result<(Self, Vec<String>)> {
        if is_own(spec, has_init(editor.tree(), spec), has_donor)? {
            return Ok((Self::Own, machine::forget_engine(editor)?));
        }
        // First of all: what the image has in /run goes next.
        let service = machine::plan_service(editor, &spec.service, spec.container.as_ref())?;
        Ok((Self::Distro(Box::new(service)), machine::forget_container(editor)?))
    }

    /// Those of `spec`, after the name of the first process if the kernel would start another one. What makes the root
    /// read-only goes before the init, and starts it.
    pub(super) fn kernel_arguments(&self, spec: &Spec) -> String {
        let program = match self {
            _ if spec.has_fixed_root() => early::PROGRAM,
            Self::Own => init::PROGRAM,
            Self::Distro(_) => return spec.cmdline.clone(),
        };
        let others = spec.cmdline.split_ascii_whitespace().filter(|word| !word.starts_with(NAMES_INIT));
        std::iter::once(format!("init={program}").as_str()).chain(others).collect::<Vec<_>>().join(" ")
    }

    /// Its path, where nothing goes before it.
    pub(super) fn path<'spec>(&self, spec: &'spec Spec) -> &'spec str {
        match self {
            Self::Own => init::PROGRAM,
            Self::Distro(_) => init_path(spec),
        }
    }

    /// What makes the root read-only before this, beside what is `kept`; `None`: nothing does.
    ///
    /// # Errors
    /// If there is no such program for the machine.
    pub(super) fn early<'spec>(
        &self,
        spec: &'spec Spec,
        kept: Option<Kept>,
        program: Option<Arc<[u8]>>,
    ) -> Result<Option<Early<'spec>>> {
        if !spec.has_fixed_root() {
            return Ok(None);
        }
        let program =
            program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| no_early(spec))?;
        let (init, is_own) = match self {
            Self::Own => (init::PROGRAM, true),
            Self::Distro(_) => (init_path(spec), false),
        };
        let (volatile, container) = (spec.volatile, spec.container.as_ref());
        let deadline = spec.layout.has_slots().then(|| spec.update.deadline());
        Ok(Some(Early { program, volatile, kept, container, init, is_own, deadline }))
    }
}

/// What becomes a service of the machine.
pub(super) fn service(spec: &Spec) -> Option<&Container> {
    let container = spec.container.as_ref().filter(|_| spec.profile == Profile::Machine);
    wanted_service(&spec.service, container)
}

/// What words of the kernel's command line begin with that name the first process.
const NAMES_INIT: &str = "init=";

/// What the kernel is told to start; of several words the last counts.
fn init_path(spec: &Spec) -> &str {
    let words = spec.cmdline.split_ascii_whitespace();
    words.filter_map(|word| word.strip_prefix(NAMES_INIT)).next_back().unwrap_or(INIT)
}

/// Whether there is one, or the kernel arguments name another one.
pub(super) fn has_init(root: &Tree, spec: &Spec) -> bool {
    names_init(spec) || root.resolve(INIT).is_some()
}

fn names_init(spec: &Spec) -> bool {
    spec.cmdline.split_ascii_whitespace().any(|word| word.starts_with(NAMES_INIT))
}

/// Whether the first process is vmimage's own. By itself that is for images whose kernel is another one's, too.
fn is_own(spec: &Spec, has_init: bool, has_donor: bool) -> Result<bool> {
    match spec.init {
        _ if spec.profile == Profile::Microvm => Ok(true),
        Init::Auto => Ok(!has_init && has_donor),
        Init::Distro => Ok(false),
        Init::Vmimage if names_init(spec) => {
            let message = "is vmimage, and the kernel arguments name another one";
            let hint = Hint::from("leave out one of ").name(Setting::Init);
            Err(Error::new(Kind::Input, "init", message)
                .with_hint(hint.text(" and ").set(Setting::Cmdline, "init=")))
        }
        Init::Vmimage => Ok(true),
    }
}

/// A machine without a first process, or with one that cannot run, panics at boot; better to say so now.
pub(super) fn require(root: &Tree, spec: &Spec) -> Result<()> {
    if !has_init(root, spec) {
        let hint = Hint::from("install one in the Dockerfile (systemd-sysv, openrc), name it with ")
            .set(Setting::Cmdline, "init=/path")
            .text(", or take vmimage's own with ")
            .set(Setting::Init, "vmimage");
        let message = "is not there: the machine would have no first process";
        return Err(Error::new(Kind::NotFound, INIT, message).with_hint(hint));
    }
    bootable::require_init(root, init_path(spec), spec.architecture)
}

/// What the kernel is told to start comes after what the image says of that, which would count for nothing.
///
/// # Errors
/// If the image says it, and `with_words`, unlike `spec`, which was asked for, names another one.
pub(super) fn require_no_other(defaults: &Defaults, spec: &Spec, with_words: &Spec) -> Result<()> {
    let mut words = defaults.words.iter().chain(&defaults.further);
    let theirs = words.rfind(|word| word.starts_with(NAMES_INIT));
    let Some(theirs) = theirs.filter(|_| !names_init(spec) && names_init(with_words)) else { return Ok(()) };
    let message = "of the image's own boot menu: vmimage has the kernel start another program first";
    let hint = Hint::from("name the init with ")
        .set(Setting::Cmdline, theirs.clone())
        .text(", or take the word out of the image");
    Err(Error::new(Kind::Unsupported, theirs, message).with_hint(hint))
}

/// What our own first process is told.
pub(super) fn contained(spec: &Spec, program: Option<Arc<[u8]>>, time: Time) -> Result<Contained<'_>> {
    let program = self::program(spec, program)?;
    let is_microvm = spec.profile == Profile::Microvm;
    // It runs whatever a container would: shells, too.
    let container = if is_microvm { spec.container.as_ref() } else { service(spec) };
    if container.is_none() && spec.service != Service::Off {
        return Err(runs_nothing(spec));
    }
    let (hostname, network) = (spec.hostname.as_deref(), &spec.network);
    Ok(Contained {
        program,
        container,
        hostname,
        network,
        microvm: is_microvm.then_some(&spec.microvm),
        time,
    })
}

/// Our own first process's program, which is that of our own initramfs, too.
pub(super) fn program(spec: &Spec, program: Option<Arc<[u8]>>) -> Result<Arc<[u8]>> {
    program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| no_init(spec))
}

/// Nobody could log in, and nothing else is started.
fn runs_nothing(spec: &Spec) -> Error {
    let program = spec.container.iter().flat_map(Container::command).next();
    let message = match program {
        None => {
            "would be vmimage's, and there is no ENTRYPOINT or CMD: the machine would run nothing".to_owned()
        }
        Some(program) => {
            format!("would be vmimage's, and {program} is no service: the machine would run nothing")
        }
    };
    let hint = match program {
        None => "name the program in the Dockerfile: ENTRYPOINT [\"/app\"]".into(),
        Some(_) => Hint::from("name another program in the Dockerfile, run this one all the same (")
            .set(Setting::Service, "NAME")
            .text("), or none (")
            .set(Setting::Service, "off")
            .text(")"),
    };
    Error::new(Kind::NotFound, INIT, message).with_hint(hint)
}

fn no_init(spec: &Spec) -> Error {
    let message = format!("is not there, and this vmimage has none for {} to put there", spec.architecture);
    Error::new(Kind::NotFound, INIT, message)
        .with_hint("build on a machine of that architecture, or install an init in the Dockerfile")
}

fn no_early(spec: &Spec) -> Error {
    let wish = match spec.volatile.is_no() {
        true => "something is kept (persist)".to_owned(),
        false => format!("volatile is {}", spec.volatile.name()),
    };
    let message =
        format!("{wish}, and this vmimage has no vmimage-early for {} to see to that", spec.architecture);
    let hint = Hint::from("take the vmimage of the frontend image (make out/vmimage), or leave out ");
    Error::new(Kind::NotFound, early::PROGRAM, message).with_hint(why_read_only(spec, hint))
}

/// The hint to leave out what makes the root read-only.
pub(super) fn why_read_only(spec: &Spec, hint: Hint) -> Hint {
    match spec.volatile.is_no() {
        true if spec.layout.has_slots() => hint.text("layout = \"ab\""),
        true => hint.text("[persist]"),
        false => hint.name(Setting::Volatile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Volatile;

    fn spec(init: Init, cmdline: &str) -> Spec {
        Spec { init, cmdline: cmdline.into(), ..Spec::default() }
    }

    /// The head of a program for x86-64.
    fn program() -> Arc<[u8]> {
        let mut program = vec![0; 20];
        program[..4].copy_from_slice(b"\x7fELF");
        program[18] = 62;
        Arc::from(program)
    }

    #[test]
    fn the_first_process_is_ours_where_it_is_asked_for_or_there_can_be_no_other() {
        for (init, has_init, has_donor, expected) in [
            (Init::Auto, true, true, false),
            (Init::Auto, false, true, true),
            (Init::Auto, false, false, false),
            (Init::Distro, false, true, false),
            (Init::Distro, true, true, false),
            (Init::Vmimage, true, false, true),
            (Init::Vmimage, true, true, true),
            (Init::Vmimage, false, false, true),
        ] {
            let spec = spec(init, "quiet");
            assert_eq!(
                is_own(&spec, has_init, has_donor).unwrap(),
                expected,
                "{init} {has_init} {has_donor}"
            );
        }
        let error = is_own(&spec(Init::Vmimage, "quiet init=/app"), true, false).unwrap_err();
        assert!(error.to_string().contains("kernel arguments name another one"), "{error}");
        assert!(!is_own(&spec(Init::Distro, "init=/app"), true, false).unwrap());
    }

    #[test]
    fn a_microvm_runs_what_a_container_would() {
        let cmd = vec!["bash".to_owned()];
        let container = Some(Container { cmd, ..Container::default() });
        let microvm = Spec { profile: Profile::Microvm, container, ..spec(Init::Auto, "") };
        assert!(is_own(&microvm, true, false).unwrap());
        let contained = contained(&microvm, Some(program()), Time::default()).unwrap();
        assert!(contained.container.is_some() && contained.microvm.is_some());
    }

    #[test]
    fn what_makes_the_root_volatile_goes_before_the_init_that_was_asked_for() {
        for (volatile, cmdline, arguments, starts) in [
            (Volatile::No, "quiet  init=/app", "init=/usr/lib/vmimage/init quiet", None),
            (Volatile::State, "quiet", "init=/usr/lib/vmimage/early quiet", Some(init::PROGRAM)),
        ] {
            let spec = Spec { volatile, ..spec(Init::Vmimage, cmdline) };
            assert_eq!(FirstProcess::Own.kernel_arguments(&spec), arguments);
            let early = FirstProcess::Own.early(&spec, None, Some(program())).unwrap();
            assert_eq!(early.map(|early| early.init), starts);
            assert_eq!(FirstProcess::Own.early(&spec, None, None).is_err(), starts.is_some());
        }
    }

    #[test]
    fn an_init_of_the_images_own_menu_is_no_word_that_counts_for_nothing() {
        let words = |text: &str| Defaults { words: vec!["quiet".into(), text.into()], ..Defaults::default() };
        let ours = spec(Init::Distro, "init=/usr/lib/vmimage/early quiet");
        let refused =
            |text: &str, asked: &str| require_no_other(&words(text), &spec(Init::Distro, asked), &ours).err();
        let error = refused("init=/app", "quiet").unwrap();
        assert!(error.to_string().starts_with("init=/app: of the image's own boot menu"), "{error}");
        assert!(refused("init=/app", "init=/other").is_none());
        assert!(refused("console=tty0", "quiet").is_none());
        let none = spec(Init::Distro, "quiet");
        assert!(require_no_other(&words("init=/app"), &none, &none).is_ok());
    }

    #[test]
    fn a_machine_of_ours_that_would_run_nothing_is_an_error() {
        let error = |service: Service, words: &[&str]| {
            let cmd = words.iter().map(|word| (*word).to_owned()).collect();
            let container = Some(Container { cmd, ..Container::default() });
            let spec = Spec { service, container, ..spec(Init::Vmimage, "") };
            contained(&spec, Some(program()), Time::default()).err().map(|error| error.to_string())
        };
        let auto = || Service::Auto;
        assert_eq!(error(auto(), &["nginx"]), None);
        for (words, part) in [
            (&[][..], "there is no ENTRYPOINT or CMD"),
            (&["bash"][..], "bash is no service"),
            (&["/bin/sh"][..], "/bin/sh is no service"),
            (&["/sbin/init"][..], "/sbin/init is no service"),
        ] {
            let said = error(auto(), words).unwrap();
            assert!(said.contains(part) && said.contains("the machine would run nothing"), "{said}");
            assert_eq!(error(Service::Off, words), None);
        }
        assert_eq!(error(Service::Named("web".into()), &["bash"]), None);
    }
}
