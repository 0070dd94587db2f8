//! A line of shell, as far as it can be read without running it: the commands in it, whatever leads to them.
//!
//! Only what tells which programs a script starts is looked at: quotes, comments, redirections and what stands
//! between commands (POSIX.1-2017, Shell Command Language, 2.3 and 2.10). Control flow is passed over, since
//! either way may be taken; what needs more than that is not judged.

/// A simple command of a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// Its words without quotes, assignments and redirections; variables stay what they are.
    pub(super) words: Vec<String>,
    /// Whether it only takes what another one writes, or is done where another one fails.
    pub(super) is_aside: bool,
    /// Whether it is given a file or the output of other commands, of which nothing is known.
    pub(super) is_fed: bool,
}

/// Words of the grammar that a command may follow.
const LEADING: [&str; 9] = ["!", "do", "elif", "else", "if", "then", "until", "while", "{"];
/// Words of the grammar that no command follows.
const CLOSING: [&str; 3] = ["done", "fi", "}"];
/// What only a whole shell can follow.
const TOO_MUCH: [&str; 3] = ["case", "coproc", "function"];
/// Words whose command only says how often others run.
const LOOPS: [&str; 2] = ["for", "select"];

/// The simple commands of `script` in their order; `None` if it cannot be judged.
pub(super) fn read(script: &str) -> Option<Vec<Simple>> {
    let mut reader = Reader { rest: script.chars(), commands: Vec::new(), current: Simple::default() };
    while reader.step()? {}
    reader.end_command(Simple::default());
    Some(reader.commands)
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
    commands: Vec<Simple>,
    current: Simple,
}

impl Reader<'_> {
    /// Read one token; `false` at the end, `None` where it is too much.
    fn step(&mut self) -> Option<bool> {
        let Some(next) = self.peek() else { return Some(false) };
        match next {
            '\\' if self.is_next("\\\n") => self.skip(2),
            '\n' | '(' if self.current.words.is_empty() => self.skip(1),
            '\n' | ';' => self.separate(1, Simple::default())?,
            blank if blank.is_ascii_whitespace() => self.skip(1),
            '#' => self.skip(self.rest.as_str().find('\n').unwrap_or(self.rest.as_str().len())),
            '&' if self.is_next("&>") => self.redirection("")?,
            '&' => self.separate(if self.is_next("&&") { 2 } else { 1 }, Simple::default())?,
            '|' if self.is_next("||") => self.separate(2, Simple { is_aside: true, ..Simple::default() })?,
            '|' => {
                let next = Simple { is_aside: true, is_fed: true, ..Simple::default() };
                self.separate(if self.is_next("|&") { 2 } else { 1 }, next)?;
            }
            '(' | ')' => self.separate(1, Simple::default())?,
            '<' | '>' => self.redirection("")?,
            _ => self.word()?,
        }
        Some(true)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn is_next(&self, text: &str) -> bool {
        self.rest.as_str().starts_with(text)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.as_str().get(bytes..).unwrap_or_default().chars();
    }

    /// A command ends, and `next` begins. A second `;` is that of `case`, and a name before `()` that of a function.
    fn separate(&mut self, bytes: usize, next: Simple) -> Option<()> {
        if self.is_next(";;") || self.is_next("(") {
            return None;
        }
        self.skip(bytes);
        self.end_command(next);
        Some(())
    }

    fn end_command(&mut self, next: Simple) {
        let command = std::mem::replace(&mut self.current, next);
        if !command.words.is_empty() || command.is_fed {
            self.commands.push(command);
        }
    }

    /// `2>&1`, `>/log`: an operator and its word. The text of a here-document is no commands.
    fn redirection(&mut self, descriptor: &str) -> Option<()> {
        if self.is_next("<<") || !descriptor.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.current.is_fed |= self.is_next("<");
        let is_operator = |c: char| "<>&|".contains(c);
        let text = self.rest.as_str().trim_start_matches(is_operator).trim_start_matches([' ', '\t']);
        self.rest = text.chars();
        self.text().map(drop)
    }

    fn word(&mut self) -> Option<()> {
        let is_plain = !self.is_next("'") && !self.is_next("\"");
        let word = self.text()?;
        if is_plain && (self.is_next("<") || self.is_next(">")) {
            if word.bytes().all(|byte| byte.is_ascii_digit()) {
                return self.redirection(&word);
            }
            self.take(word, is_plain)?;
            return self.redirection("");
        }
        self.take(word, is_plain)
    }

    /// Put a word where it belongs.
    fn take(&mut self, word: String, is_plain: bool) -> Option<()> {
        let is_first = is_plain && self.current.words.is_empty();
        if is_first && TOO_MUCH.contains(&&*word) {
            return None;
        }
        self.current.is_aside |= is_first && LOOPS.contains(&&*word);
        let is_grammar = LEADING.contains(&&*word) || CLOSING.contains(&&*word);
        if !is_first || !is_grammar && !is_assignment(&word) {
            self.current.words.push(word);
        }
        Some(())
    }

    /// Up to what ends a word, without its quotes.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(next) = self.peek() {
            if next.is_ascii_whitespace() || ";&|()<>".contains(next) {
                break;
            }
            self.rest.next();
            match next {
                '\'' => text.push_str(self.up_to('\'')?),
                '"' => self.in_quotes(&mut text)?,
                '\\' => text.extend(self.rest.next().filter(|escaped| *escaped != '\n')),
                '$' | '`' => self.expansion(next, &mut text)?,
                other => text.push(other),
            }
        }
        Some(text)
    }

    fn in_quotes(&mut self, text: &mut String) -> Option<()> {
        loop {
            match self.rest.next()? {
                '"' => return Some(()),
                '\\' => match self.rest.next()? {
                    '\n' => {}
                    escaped if "\"\\$`".contains(escaped) => text.push(escaped),
                    other => text.extend(['\\', other]),
                },
                sign @ ('$' | '`') => self.expansion(sign, text)?,
                other => text.push(other),
            }
        }
    }

    /// `${name}` stays as it is; of what comes out of another command nothing is known.
    fn expansion(&mut self, sign: char, text: &mut String) -> Option<()> {
        text.push(sign);
        if sign == '`' {
            self.current.is_fed = true;
            self.up_to('`')?;
        } else if self.is_next("(") {
            self.current.is_fed = true;
            self.parentheses()?;
        } else if self.is_next("{") {
            text.push_str(self.up_to('}')?);
            text.push('}');
        }
        Some(())
    }

    fn parentheses(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.rest.next()? {
                '(' => depth += 1,
                ')' if depth == 1 => return Some(()),
                ')' => depth -= 1,
                _ => {}
            }
        }
    }

    /// What comes before `end`, which is passed.
    fn up_to(&mut self, end: char) -> Option<&str> {
        let (before, after) = self.rest.as_str().split_once(end)?;
        self.rest = after.chars();
        Some(before)
    }
}

/// `NAME=value`, before a command or instead of one.
pub(super) fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name.trim_end_matches('+'));
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands as words in brackets, those beside the main way after a `|`.
    fn commands(script: &str) -> Option<String> {
        let shown = |command: &Simple| {
            let words: Vec<_> = command.words.iter().map(|word| format!("[{word}]")).collect();
            let aside = if command.is_aside { "|" } else { "" };
            let unknown = if command.is_fed { "?" } else { "" };
            format!("{aside}{}{unknown}", words.concat())
        };
        read(script).map(|commands| commands.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn commands_are_told_apart() {
        for (script, expected) in [
            ("", ""),
            ("  # nothing\n", ""),
            ("sleep 10 && exec /app", "[sleep][10] [exec][/app]"),
            ("a;b\nc & d", "[a] [b] [c] [d]"),
            ("a | b || c |& d && e", "[a] |[b]? |[c] |[d]? [e]"),
            ("a |\n\n b | (c; d)\n\ne", "[a] |[b]? |[c]? [d] [e]"),
            ("a \\\n b && \\\nc", "[a][b] [c]"),
            ("A=1 B+='x y' app C=2 # last", "[app][C=2]"),
            ("A=1", ""),
            (r#"app 'a;b' "c && d" e\ f "" g'h'"i""#, "[app][a;b][c && d][e f][][ghi]"),
            (r#"app "\"a\" \$b \c" ${D:-e f}/g"#, r#"[app]["a" $b \c][${D:-e f}/g]"#),
            ("app >/log 2>&1 &>>x a>b", "[app][a]"),
            ("sh </script; sh 0<script", "[sh]? [sh]?"),
            ("exec 3>&1 >&2; b#c\td \\\ne", "[exec] [b#c][d][e]"),
            ("A=$(id -u) app; `b`; \"$(c (d))\"", "[app]? [`]? [$]?"),
            ("if ! a; then b; else exec c; fi", "[a] [b] [exec][c]"),
            ("while true; do (a; b); done; { c; }", "[true] [a] [b] [c]"),
            ("for i in 1 2; do a $i; done", "|[for][i][in][1][2] [a][$i]"),
            ("echo if; \"if\" a", "[echo][if] [if][a]"),
        ] {
            assert_eq!(commands(script).as_deref(), Some(expected), "{script:?}");
        }
    }

    #[test]
    fn what_only_a_shell_can_follow_is_not_judged() {
        for script in [
            "case $1 in a) b;; esac",
            "run() { sleep 1; }; run",
            "function run { sleep 1; }",
            "cat <<end\nsleep\nend",
            "cat <<<word",
            "a < <(b)",
            "echo 'a",
            "echo \"a",
            "echo $(a",
            "echo `a",
            "echo ${a",
            "echo \"a\\",
        ] {
            assert_eq!(read(script), None, "{script:?}");
        }
    }

    #[test]
    fn odd_characters_come_to_an_end() {
        for script in ["\x0c\x0b", "\\", "ä\u{2028}ö;", "\0", "))((", "&|;", ">", "<>&|", "a>", "2>&"] {
            let _ = read(script);
        }
    }
}
