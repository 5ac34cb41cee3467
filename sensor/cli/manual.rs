//! What shells and `man` know of the command line, made from its one definition.
//!
//! In: a shell's name, or the words of a sub-command. Out: a completion script, or a page in roff's `man` macros. Never here:
//! an option's description of its own.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::generate;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::arguments::{Arguments, Shell};

const NAME: &str = "haetae";

/// Writes the script that completes our options in a shell.
pub(super) fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Made in memory: the generators panic where a writer fails, and a closed pipe is no fault.
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), NAME, &mut script);
    out.write_all(&script)
}

/// Writes the page of a sub-command, of the whole command if no word is given; `None`: there is no such command.
pub(super) fn page(words: &[String], out: &mut dyn Write) -> Option<io::Result<()>> {
    let mut command = Arguments::command();
    command.build();
    for word in words {
        command = command.find_subcommand(word)?.clone();
    }
    Some(write(command, out))
}

fn write(command: Command, out: &mut dyn Write) -> io::Result<()> {
    let extra = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_commands = command.has_subcommands();
    let version = concat!("haetae ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(version).manual("haetae");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if has_commands {
        man.render_subcommands_section(out)?;
    }
    remarks(&extra).to_writer(out)
}

/// What stands below the options in `--help`: its indented lines are examples, and a line that begins with a capital
/// letter begins a paragraph.
fn remarks(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut section = "";
    for line in text.lines().filter(|line| !line.is_empty() && *line != "Examples:") {
        let (wanted, is_example) = if line.starts_with(' ') { ("EXAMPLES", true) } else { ("NOTES", false) };
        if section != wanted {
            if section == "EXAMPLES" {
                roff.control("fi", []);
            }
            roff.control("SH", [wanted]);
            if is_example {
                roff.control("nf", []);
            }
            section = wanted;
        } else if line.starts_with(char::is_uppercase) {
            roff.control("PP", []);
        }
        roff.text([roman(line.trim_start())]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Process, Stdio};

    use super::*;

    /// A program's output and complaints when it is fed this; `None`, loudly, where it is not installed.
    fn fed(words: &[&str], input: &[u8]) -> Option<(bool, String, String)> {
        let mut process = Process::new(words[0]);
        process.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = process.spawn() else {
            eprintln!("NOT TESTED: no {} here", words[0]);
            return None;
        };
        let mut stdin = child.stdin.take().expect("its input");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).expect("it reads"));
            child.wait_with_output().expect("it ends")
        });
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Some((output.status.success(), text(output.stdout), text(output.stderr)))
    }

    fn script(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        completions(shell, &mut script).expect("a vector takes it");
        script
    }

    fn paged(words: &[&str]) -> Vec<u8> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let mut page = Vec::new();
        super::page(&words, &mut page).expect("a command").expect("a vector takes it");
        page
    }

    /// All commands, as their words.
    fn commands() -> Vec<Vec<String>> {
        fn below(command: &Command, words: &[String], found: &mut Vec<Vec<String>>) {
            found.push(words.to_vec());
            for sub in command.get_subcommands() {
                below(sub, &[words, &[sub.get_name().to_owned()]].concat(), found);
            }
        }
        let mut found = Vec::new();
        below(&Arguments::command(), &[], &mut found);
        found
    }

    #[test]
    fn shells_accept_their_scripts() {
        for (shell, program) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
            let Some((accepted, _, complaints)) = fed(&[program, "-n"], &script(shell)) else { continue };
            assert!(accepted && complaints.is_empty(), "{program}: {complaints}");
        }
    }

    #[test]
    fn bash_completes_options_and_commands() {
        for (typed, wanted) in [("--fail", "--fail-on-match"), ("look", "lookup"), ("--ev", "--events-dir")] {
            let mut asked = script(Shell::Bash);
            asked.extend(
                format!("\nCOMP_WORDS=(haetae {typed}); COMP_CWORD=1; _haetae haetae {typed} haetae\n").bytes(),
            );
            asked.extend(b"printf '%s\\n' \"${COMPREPLY[@]}\"\n");
            let Some((_, offered, complaints)) = fed(&["bash"], &asked) else { return };
            assert!(offered.lines().any(|line| line == wanted), "{typed}: {offered}{complaints}");
        }
    }

    #[test]
    fn every_option_is_in_the_scripts_and_on_its_page() {
        for words in commands() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut command = Arguments::command();
            command.build();
            let command =
                words.iter().fold(&command, |command, word| command.find_subcommand(word).expect("it is one"));
            let page = String::from_utf8(paged(&words)).expect("text");
            let bash = String::from_utf8(script(Shell::Bash)).expect("text");
            for option in command.get_arguments().filter(|option| !option.is_hide_set() && !option.is_positional()) {
                let long = option.get_long().map(|long| format!("--{long}"));
                let name = long.or_else(|| option.get_short().map(|short| format!("-{short}"))).expect("a name");
                assert!(bash.contains(&format!("{name} ")), "{words:?}: {name}");
                assert!(page.contains(&format!("\\fB{}\\fR", name.replace('-', "\\-"))), "{words:?}: {name}: {page}");
            }
        }
    }

    #[test]
    fn pages_are_sound_and_read_as_they_should() {
        for words in commands() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let page = paged(&words);
            if let Some((sound, _, complaints)) = fed(&["mandoc", "-Tlint", "-Werror"], &page) {
                assert!(sound, "{words:?}: {complaints}");
            }
            let groff = ["groff", "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=120n"];
            let Some((sound, shown, complaints)) = fed(&groff, &page) else { continue };
            assert!(sound && complaints.is_empty(), "{words:?}: {complaints}");
            assert!(shown.contains("SYNOPSIS") && shown.contains("haetae"), "{shown}");
            if words.is_empty() {
                assert!(shown.contains("haetae -r PATH... [-S RULES]... [-c FILE] [OPTIONS]\n"), "{shown}");
                assert!(shown.contains("\n       haetae -T -c haetae.yaml "), "{shown}");
                assert!(shown.contains("haetae-replay(1)"), "{shown}");
                assert!(shown.contains("\n       Environment: HAETAE_CONFIG"), "{shown}");
            }
        }
    }

    #[test]
    fn there_is_no_page_of_what_is_no_command() {
        assert!(page(&["reply".to_owned()], &mut Vec::new()).is_none());
        assert!(page(&["config".to_owned(), "dmp".to_owned()], &mut Vec::new()).is_none());
    }
}
