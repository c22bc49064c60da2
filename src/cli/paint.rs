//! Lines for people: inks, widths, and pages that stay within a screen.
//!
//! In: texts, some of them from logs, and a screen. Out: lines that are made safe, shortened with an ellipsis where they are
//! too long, and colored where the screen has colors. One way to do it, so that no command forgets one of the three.

use super::config::Screen;
use keytrail::output::terminal::{cut, sanitize, width, wrap};
use keytrail::severity::Severity;
use std::path::Path;

/// What a piece of text is, which decides its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Ordinary text.
    Plain,
    /// A heading.
    Strong,
    /// A label, or what matters less.
    Faint,
    /// A severity, or what has one.
    Severity(Severity),
}

impl Ink {
    /// The parameters of the terminal's color sequence; empty for none.
    fn code(self) -> &'static str {
        match self {
            Ink::Plain => "",
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Severity(severity) => match severity {
                Severity::Critical => "1;31",
                Severity::High => "31",
                Severity::Medium => "33",
                Severity::Low => "36",
                Severity::Info => "2",
            },
        }
    }
}

/// `text` in `ink` when colors are wanted. The text must be safe.
pub(crate) fn painted(ink: Ink, text: &str, color: bool) -> String {
    let code = ink.code();
    if color && !code.is_empty() && !text.is_empty() {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// One line of pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Vec<(Ink, String)>);

impl Line {
    /// A line of one plain piece.
    pub(crate) fn plain(text: &str) -> Line {
        Line::default().with(Ink::Plain, text)
    }

    /// The line with a piece more, which is made safe here.
    #[must_use]
    pub(crate) fn with(mut self, ink: Ink, text: &str) -> Line {
        self.0.push((ink, sanitize(text)));
        self
    }

    /// The line with a piece that is filled with blanks to `columns`.
    #[must_use]
    pub(crate) fn column(self, ink: Ink, text: &str, columns: usize) -> Line {
        let text = sanitize(text);
        let blanks = " ".repeat(columns.saturating_sub(width(&text)));
        self.with(ink, &text).with(Ink::Plain, &blanks)
    }

    /// Columns that the line takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line in at most `columns`.
    fn cut(mut self, columns: usize) -> Line {
        if self.width() <= columns {
            return self;
        }
        let mut room = columns;
        for (_, text) in &mut self.0 {
            // The piece that does not fit gets the ellipsis, and nothing comes after it.
            let wanted = width(text);
            *text = if room == 0 { String::new() } else { cut(text, room) };
            room = room.saturating_sub(wanted);
        }
        self
    }

    fn paint(&self, screen: Screen) -> String {
        let last = self.0.iter().rposition(|(_, text)| !text.trim().is_empty()).map_or(0, |last| last + 1);
        let pieces = self.0.iter().take(last).enumerate();
        let text: String = pieces
            .map(|(i, (ink, text))| painted(*ink, if i + 1 == last { text.trim_end() } else { text }, screen.color))
            .collect();
        // Without Unicode the ellipsis is one ASCII character as well, so that all widths stay.
        if screen.is_unicode { text } else { text.replace('…', "~") }
    }
}

/// Columns of the labels at the left.
const LABEL: usize = 11;

/// The same beside commands, which get more room, because they are not cut.
const COMMAND: usize = 6;

/// Lines for one screen.
#[derive(Debug)]
pub(crate) struct Page {
    screen: Screen,
    lines: Vec<Line>,
    rows: usize,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(screen: Screen) -> Page {
        Page { screen, lines: Vec::new(), rows: 0 }
    }

    /// The screen it is made for.
    pub(crate) fn screen(&self) -> Screen {
        self.screen
    }

    /// Columns beside the labels.
    pub(crate) fn room(&self) -> usize {
        self.screen.width.saturating_sub(LABEL)
    }

    /// Rows that are used.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a line, cut to the screen.
    pub(crate) fn push(&mut self, line: Line) {
        self.lines.push(line.cut(self.screen.width));
        self.rows += 1;
    }

    /// Adds an empty line.
    pub(crate) fn blank(&mut self) {
        self.push(Line::default());
    }

    /// Adds a labelled text in at most `rows` rows.
    pub(crate) fn labelled(&mut self, label: &str, ink: Ink, text: &str, rows: usize) {
        for (i, line) in wrap(&sanitize(text), self.room(), rows).iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            self.push(Line::default().column(Ink::Faint, label, LABEL).with(ink, line));
        }
    }

    /// Adds a command to copy, which is never cut.
    pub(crate) fn command(&mut self, label: &str, command: &str) {
        self.whole(Line::default().column(Ink::Faint, label, COMMAND).with(Ink::Plain, command));
    }

    /// Adds a line to copy from. It is never cut: the terminal may wrap it.
    pub(crate) fn whole(&mut self, line: Line) {
        self.rows += line.width().div_ceil(self.screen.width).max(1);
        self.lines.push(line);
    }

    /// The text, each line with its end.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| line.paint(self.screen) + "\n").collect()
    }
}

/// Rows that a labelled text takes, at most `most`.
pub(crate) fn rows_of(text: &str, screen: Screen, most: usize) -> usize {
    wrap(&sanitize(text), screen.width.saturating_sub(LABEL), most).len()
}

/// A text as one word of a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c) || !c.is_ascii() && c.is_alphanumeric();
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A path as one word of a shell.
pub(crate) fn shell_path(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: usize, color: bool, is_unicode: bool) -> Screen {
        Screen { width, height: 24, color, is_unicode }
    }

    #[test]
    fn colors_take_no_room_and_are_left_out_where_there_are_none() {
        let line = || {
            Line::default().column(Ink::Severity(Severity::High), "high", 10).with(Ink::Plain, "a\u{1b}[2J long tail")
        };
        for color in [false, true] {
            let mut page = Page::new(screen(20, color, true));
            page.push(line());
            let expected =
                if color { "\u{1b}[31mhigh\u{1b}[0m      a\\u{1b}[2…\n" } else { "high      a\\u{1b}[2…\n" };
            assert_eq!(page.text(), expected);
        }
        let mut page = Page::new(screen(20, false, false));
        page.push(line());
        assert_eq!(page.text(), "high      a\\u{1b}[2~\n");
    }

    #[test]
    fn a_piece_that_was_shortened_before_does_not_end_the_line() {
        let mut page = Page::new(screen(40, false, true));
        page.push(Line::plain("short…").with(Ink::Plain, " and more"));
        page.push(Line::plain(&"x".repeat(39)).with(Ink::Plain, "yz").with(Ink::Plain, "never"));
        assert_eq!(page.text(), format!("short… and more\n{}…\n", "x".repeat(39)));
    }

    #[test]
    fn commands_are_whole_and_counted_as_the_terminal_wraps_them() {
        let mut page = Page::new(screen(40, false, true));
        page.command("next", &"x".repeat(60));
        assert_eq!(page.rows(), 2);
        assert_eq!(page.text().trim_end().len(), 66);
    }

    #[test]
    fn labels_stand_beside_the_first_row_only() {
        let mut page = Page::new(screen(40, false, true));
        page.labelled("what", Ink::Plain, "one two three four five six seven eight", 2);
        assert_eq!(page.text(), "what       one two three four five six\n           seven eight\n");
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_word("alias/app"), "alias/app");
        assert_eq!(shell_word("it's here"), "'it'\\''s here'");
        assert_eq!(shell_word("$(rm)"), "'$(rm)'");
    }
}
