//! XML laid out, and XML and HTML in colour: a scan for tags, no more than colours need.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::INDENT;

const TAG: Style = AnsiColor::Blue.on_default().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const VALUE: Style = AnsiColor::Green.on_default();
const ASIDE: Style = Style::new().dimmed();

/// The elements of HTML whose content is no markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// HTML in colour, its layout as it is: white space has a meaning in it.
pub(super) fn html(text: &str) -> String {
    tokens(text, true).into_iter().map(Token::styled).collect()
}

/// XML in colour. It is laid out where no element holds text beside other elements.
pub(super) fn xml(text: &str) -> String {
    let tokens = tokens(text, false);
    match layout(&tokens) {
        Some(laid_out) => laid_out,
        None => tokens.into_iter().map(Token::styled).collect(),
    }
}

/// A piece of markup, with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open(&'a str),
    Empty(&'a str),
    Close(&'a str),
    /// Comments, declarations and instructions.
    Aside(&'a str),
    Text(&'a str),
}

impl Token<'_> {
    fn styled(self) -> String {
        match self {
            Self::Open(tag) | Self::Empty(tag) | Self::Close(tag) => styled_tag(tag),
            Self::Aside(text) => format!("{ASIDE}{text}{ASIDE:#}"),
            Self::Text(text) => text.to_owned(),
        }
    }
}

fn tokens(text: &str, is_html: bool) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let token = next(rest);
        let (Token::Open(piece)
        | Token::Empty(piece)
        | Token::Close(piece)
        | Token::Aside(piece)
        | Token::Text(piece)) = token;
        rest = &rest[piece.len()..];
        tokens.push(token);
        if let Token::Open(tag) = token
            && is_html
            && let Some(raw) = RAW.into_iter().find(|raw| name(tag).eq_ignore_ascii_case(raw))
        {
            let (content, after) = rest.split_at(end_of_raw(rest, raw));
            tokens.push(Token::Text(content));
            rest = after;
        }
    }
    tokens
}

/// Where the content ends of an element of HTML that holds no markup.
fn end_of_raw(text: &str, name: &str) -> usize {
    let is_end = |at: &usize| {
        let after = text.get(at + 2..at + 2 + name.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(name))
    };
    text.match_indices("</").map(|(at, _)| at).find(is_end).unwrap_or(text.len())
}

/// The first token of `text`, which is not empty.
fn next(text: &str) -> Token<'_> {
    let to = |end: &str| text.find(end).map_or(text, |at| &text[..at + end.len()]);
    if text.starts_with("<!--") {
        return Token::Aside(to("-->"));
    }
    if text.starts_with("<![CDATA[") {
        return Token::Text(to("]]>"));
    }
    if text.starts_with("<?") {
        return Token::Aside(to("?>"));
    }
    if text.starts_with("<!") {
        return Token::Aside(to(">"));
    }
    let is_tag = |tag: &str| {
        tag.starts_with("</") || tag[1..].starts_with(|c: char| c.is_alphabetic() || c == '_')
    };
    if text.starts_with('<') && is_tag(text) {
        let tag = &text[..end_of_tag(text)];
        return match () {
            () if tag.starts_with("</") => Token::Close(tag),
            () if tag.ends_with("/>") => Token::Empty(tag),
            () => Token::Open(tag),
        };
    }
    let end = text.char_indices().skip(1).find(|(_, c)| *c == '<').map(|(at, _)| at);
    Token::Text(&text[..end.unwrap_or(text.len())])
}

/// Where the tag ends that `text` begins with: a `>` within quotes is not its end.
fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    let end = text.find(|c: char| match quote {
        Some(open) => {
            quote = quote.filter(|_| c != open);
            false
        }
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            false
        }
        None => c == '>',
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The name of a tag's element.
fn name(tag: &str) -> &str {
    let inner = tag.trim_start_matches(['<', '/']);
    let end = inner.find(|c: char| c.is_whitespace() || c == '>' || c == '/');
    &inner[..end.unwrap_or(inner.len())]
}

/// A tag with its name, its attributes and their values in colour.
fn styled_tag(tag: &str) -> String {
    let start = tag.len() - tag.trim_start_matches(['<', '/']).len() + name(tag).len();
    let (head, mut rest) = tag.split_at(start);
    let mut out = format!("{TAG}{head}{TAG:#}");
    while let Some(first) = rest.chars().next() {
        let (style, end) = match first {
            '"' | '\'' => (VALUE, rest[1..].find(first).map(|at| at + 2)),
            '>' | '/' => (TAG, rest.find(|c| c != '>' && c != '/')),
            c if c.is_whitespace() || c == '=' => {
                (Style::new(), rest.find(|c: char| !c.is_whitespace() && c != '='))
            }
            _ => (NAME, rest.find(|c: char| c.is_whitespace() || "=/>\"'".contains(c))),
        };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        // Writing to a string does not fail.
        let _ = write!(out, "{style}{piece}{style:#}");
        rest = after;
    }
    out
}

/// The tokens on lines of their own, and text beside its element's tags; `None` where text stands
/// beside elements, as its white space may have a meaning.
fn layout(tokens: &[Token<'_>]) -> Option<String> {
    let is_blank = |token: &Token<'_>| matches!(token, Token::Text(text) if text.trim().is_empty());
    let tokens: Vec<_> = tokens.iter().copied().filter(|token| !is_blank(token)).collect();
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut before = None;
    for (index, token) in tokens.iter().enumerate() {
        let after = tokens.get(index + 1);
        if let Token::Text(_) = token
            && !matches!((before, after), (Some(Token::Open(_)), Some(Token::Close(_))))
        {
            return None;
        }
        if let Token::Close(_) = token {
            depth = depth.checked_sub(1)?;
        }
        let is_beside = match token {
            Token::Text(_) => true,
            Token::Close(_) => matches!(before, Some(Token::Open(_) | Token::Text(_))),
            _ => false,
        };
        if !is_beside {
            if index > 0 {
                out.push('\n');
            }
            // A document that is nested deeper than this is not one that is read by eye.
            out.extend(std::iter::repeat_n(' ', depth.min(64) * INDENT));
        }
        out.push_str(&token.styled());
        depth += usize::from(matches!(token, Token::Open(_)));
        before = Some(*token);
    }
    (depth == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xml_is_laid_out() {
        let text =
            r#"<?xml version="1.0"?><a x='1>2'><b>text &amp; more</b><c/><d></d> <!-- no --></a>"#;
        let expected = "<?xml version=\"1.0\"?>
<a x='1>2'>
    <b>text &amp; more</b>
    <c/>
    <d></d>
    <!-- no -->
</a>";
        assert_eq!(strip_str(&xml(text)).to_string(), expected);
    }

    #[test]
    fn what_mixes_text_and_elements_or_is_broken_keeps_its_layout() {
        for text in ["<p>one <b>two</b> three</p>", "<a><b></a>", "</a>", "<a", "a < b", "<a b='"] {
            assert_eq!(strip_str(&xml(text)).to_string(), text);
        }
    }

    #[test]
    fn scripts_are_no_markup() {
        let text = "<p class=x>a<br><SCRIPT>if (a<b) {}</script><p>c";
        let styled = html(text);
        assert_eq!(strip_str(&styled).to_string(), text);
        assert!(styled.contains("if (a<b) {}"), "{styled:?}");
        let attribute = format!("{NAME}class{NAME:#}=");
        assert!(styled.contains(&attribute), "{styled:?}");
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in "[<>/!?='\" a-cé\\-\\[\\]]{0,60}") {
            prop_assert_eq!(strip_str(&html(&text)).to_string(), text);
        }
    }
}
