//! Lua as tokens, as far as it takes to see that two bodies are the same.

/// The tokens of a body in lower case, with one space between them, one kind of quotes and no comments.
pub(super) fn normal(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut normal = String::with_capacity(body.len());
    let mut rest = body.trim_start();
    while !rest.is_empty() {
        let (token, after) = match rest.strip_prefix("--") {
            Some(comment) => ("", comment.split_once('\n').map_or("", |(_, after)| after)),
            None => rest.split_at(length(rest)),
        };
        if !token.is_empty() {
            if !normal.is_empty() {
                normal.push(' ');
            }
            normal
                .extend(token.chars().map(|char| if char == '\'' { '"' } else { char.to_ascii_lowercase() }));
        }
        rest = after.trim_start();
    }
    normal
}

/// The length of the token that `text` starts with: a string with its quotes, a word, or one character.
fn length(text: &str) -> usize {
    let first = text.chars().next().unwrap_or_default();
    let word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    if first == '"' || first == '\'' {
        text[1..].find(first).map_or(text.len(), |end| end + 2)
    } else if word(first) {
        text.find(|char| !word(char)).unwrap_or(text.len())
    } else {
        first.len_utf8()
    }
}

#[cfg(test)]
mod tests {
    use super::normal;
    use quickcheck::quickcheck;

    #[test]
    fn layout_quotes_case_and_comments_make_no_difference() {
        let expected = r#"if redis . call ( "get" , keys [ 1 ] ) = = argv [ 1 ]"#;
        for body in [
            "if redis.call('get',KEYS[1])==ARGV[1]",
            "\n  IF redis.call(\"GET\", KEYS[1]) == ARGV[1] -- 'mine'",
            "-- mine\nif redis . call('get', KEYS [1]) ==\tARGV[1]\n--",
        ] {
            assert_eq!(normal(body.as_bytes()), expected);
        }
    }

    #[test]
    fn what_is_inside_quotes_stays_one_token() {
        assert_ne!(normal(b"call('a b')"), normal(b"call('a', 'b')"));
        assert_ne!(normal(b"call('a -- b')"), normal(b"call('a"));
    }

    quickcheck! {
        fn any_bytes_have_tokens(body: Vec<u8>) -> bool {
            let once = normal(&body);
            once.len() <= 4 * body.len() + 4
        }
    }
}
