//! Addons without which a machine does not start. systemd's stub leaves out one that was altered or that no key of the firmware's
//! has signed, and starts the kernel without its words. So the image itself, which is signed, names those that it was built with:
//!
//! ```text
//! vmimage.addons=console,debug   of the image
//! vmimage.addon=console          of that addon, in front of its words
//! ```
//!
//! Addons that nobody names are no matter of this.

/// What an image demands, with commas between the names.
const DEMANDED: &str = "vmimage.addons=";
/// What an addon says of itself.
const TAKEN: &str = "vmimage.addon=";

/// Of a command line, as it stands: behind a `--` an addon was taken, too.
///
/// # Errors
/// The first addon that is not there.
pub(super) fn require(line: &str) -> Result<(), String> {
    match missing(line) {
        Some(name) => Err(format!(
            "addon {name}: the boot loader has not taken it: it was altered, is not signed or is missing"
        )),
        None => Ok(()),
    }
}

fn missing(line: &str) -> Option<&str> {
    let values = |name| line.split_ascii_whitespace().filter_map(move |word| word.strip_prefix(name));
    // Of several lists each counts: no later word takes a demand back.
    let mut demanded = values(DEMANDED).flat_map(|names| names.split(',')).filter(|name| !name.is_empty());
    demanded.find(|name| !values(TAKEN).any(|taken| taken == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_demands_starts_with_any_addons() {
        for line in ["", "root=/dev/vda2 ro", "ro vmimage.addon=mine quiet", "vmimage.addons="] {
            assert_eq!(require(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn each_that_is_demanded_has_to_be_there() {
        for line in [
            "ro vmimage.addons=console vmimage.addon=console console=ttyS0\n",
            "vmimage.addons=a,b ro vmimage.addon=b x vmimage.addon=mine vmimage.addon=a",
            "vmimage.addons=a ro -- single vmimage.addon=a",
        ] {
            assert_eq!(require(line), Ok(()), "{line}");
        }
        for (line, name) in [
            ("ro vmimage.addons=console console=ttyS0", "console"),
            ("vmimage.addons=a,b vmimage.addon=a", "b"),
            ("vmimage.addons=ab vmimage.addon=a vmimage.addon=abc vmimage.addon=", "ab"),
            ("vmimage.addons=a x.vmimage.addon=a", "a"),
            ("vmimage.addons=a vmimage.addons=b vmimage.addons= vmimage.addon=b", "a"),
            ("vmimage.addons=a -- b", "a"),
        ] {
            let error = require(line).unwrap_err();
            assert!(
                error.starts_with(&format!("addon {name}: the boot loader has not taken it: ")),
                "{error}"
            );
        }
    }
}
