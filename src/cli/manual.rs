//! Shell completions and manual pages, made from the arguments themselves.
//!
//! In: the command tree. Out: a completion script, or one page per command. Examples are set as they are, without filling,
//! so that a command line of a page can be copied.

use super::args::{Cli, ManArgs};
use super::{Exit, print};
use anyhow::{Context, Result};
use clap::{Command, CommandFactory};

/// Prints the completion script for a shell.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keytrail", &mut text);
    print(text)?;
    Ok(Exit::Done)
}

/// Prints the manual pages, or writes each into a folder.
///
/// # Errors
/// When stdout or the folder cannot be written.
pub(crate) fn man(args: &ManArgs) -> Result<Exit> {
    let pages = pages()?;
    let Some(folder) = &args.out else {
        print(pages.into_iter().flat_map(|(_, page)| page).collect::<Vec<u8>>())?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("{}: create the folder", folder.display()))?;
    for (name, page) in pages {
        let path = folder.join(name);
        std::fs::write(&path, page).with_context(|| format!("{}: write the page", path.display()))?;
    }
    Ok(Exit::Done)
}

/// The root command with everything that clap adds, and without the `help` commands.
fn tree() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

/// Every command below `command` that is shown, itself first.
fn commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    std::iter::once(command).chain(below.flat_map(commands)).collect()
}

/// File name and text of each page.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    commands(&tree()).into_iter().map(page).collect()
}

fn page(command: &Command) -> Result<(String, Vec<u8>)> {
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        text.extend_from_slice(b".SH COMMANDS\n");
        man.render_subcommands_section(&mut text)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for part in after.split("\n\n").filter(|part| !part.is_empty()) {
        let (title, lines) = match part.strip_prefix("Examples:\n") {
            Some(lines) => ("EXAMPLES", lines),
            None => ("NOTES", part),
        };
        text.extend_from_slice(format!(".SH {title}\n.nf\n").as_bytes());
        for line in lines.lines() {
            // A backslash begins an escape and a dot or quote at the begin of a line a request.
            let line = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
            text.extend_from_slice(format!("\\&{line}\n").as_bytes());
        }
        text.extend_from_slice(b".fi\n");
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut text)?;
    }
    Ok((man.get_filename(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Parser, ValueEnum};

    /// The words of a command line, as a POSIX shell splits it; `|` and `>` stand as words of their own.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), c) => word.get_or_insert_default().push(c),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, '#') if word.is_none() => break,
                (None, '|' | '>') => {
                    words.extend(word.take());
                    words.push(c.to_string());
                }
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                (None, c) => word.get_or_insert_default().push(c),
            }
        }
        assert_eq!(quote, None, "a quote is not closed: {line}");
        words.extend(word);
        words
    }

    #[test]
    fn every_command_has_examples_that_it_understands() {
        let root = tree();
        let mut checked = 0;
        for command in commands(&root) {
            let name = command.get_bin_name().unwrap_or("keytrail").to_owned();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} --help has no examples"));
            for line in examples.split("\n\n").next().unwrap().lines() {
                assert!(line.starts_with("  "), "{name}: {line}");
                let words = words(line);
                let own: Vec<&[String]> = words
                    .split(|word| word == "|")
                    .filter(|part| part.first().is_some_and(|first| first == "keytrail"))
                    .collect();
                assert!(!own.is_empty(), "{name}: no keytrail in {line}");
                for part in own {
                    let part = part.split(|word| word == ">").next().unwrap();
                    if let Err(error) = Cli::try_parse_from(part) {
                        panic!("{name}: {line}\n{error}");
                    }
                    assert!(
                        name.split(' ').zip(part).all(|(a, b)| a == b),
                        "{name}: an example of another command: {line}"
                    );
                    checked += 1;
                }
            }
        }
        assert!(checked > 30, "the property proved nothing: {checked}");
    }

    #[test]
    fn every_command_has_a_page_and_every_example_stands_on_it() {
        let root = tree();
        let pages = pages().unwrap();
        assert_eq!(pages.len(), commands(&root).len());
        for (command, (name, page)) in commands(&root).into_iter().zip(pages) {
            let page = String::from_utf8(page).unwrap();
            assert!(page.contains(".SH EXAMPLES\n.nf\n\\&"), "{name}");
            assert_eq!(name, format!("{}.1", command.get_bin_name().unwrap_or("keytrail").replace(' ', "-")));
            let plain = page.replace("\\-", "-").replace("\\e", "\\");
            for line in command.get_after_help().unwrap().to_string().lines() {
                assert!(line == "Examples:" || plain.contains(line.trim()), "{name}: {line}");
            }
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "keytrail", &mut text);
            let text = String::from_utf8(text).unwrap();
            for command in commands(&tree()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
