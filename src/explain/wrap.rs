//! Text for a terminal: sections with their names in a column on the left.

/// How many letters a line has at most.
const WIDTH: usize = 100;
/// How many the names have.
const NAMES: usize = 10;

/// Paragraphs beside the name of what they are about. Lines that a paragraph goes on for are indented a little more.
pub fn section(name: &str, paragraphs: &[String]) -> String {
    let mut text = String::new();
    let mut name = name;
    for paragraph in paragraphs {
        let mut indent = "";
        for line in lines(paragraph) {
            text += &format!("{name:NAMES$} {indent}{line}\n");
            (name, indent) = ("", "  ");
        }
    }
    text
}

/// Sentences as one paragraph.
pub fn join(sentences: &[String]) -> String {
    sentences.join(" ")
}

fn lines(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            // A name and two spaces stand before all lines but the first.
            Some(line) if NAMES + 3 + line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_its_name_once_and_no_line_is_too_long() {
        let words = "word ".repeat(60);
        let text = section("Name", &[words.clone(), words]);
        assert!(text.starts_with("Name       word"), "{text}");
        assert_eq!(text.matches("Name").count(), 1);
        assert_eq!(text.matches("word").count(), 120);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }
}
