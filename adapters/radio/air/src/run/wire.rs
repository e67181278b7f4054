//! Frames on a serial line: COBS, and a zero after each.

/// The longest frame that is taken from a board, encoded.
const LONGEST: usize = 2_048;

/// A frame as it goes over a serial line. The zero before it ends whatever was cut off.
pub fn encode(frame: &[u8]) -> Vec<u8> {
    let mut line = vec![0];
    for (part, is_last) in parts(frame) {
        line.push(part.len() as u8 + 1);
        line.extend_from_slice(part);
        if is_last {
            line.push(0);
        }
    }
    line
}

/// The stretches without zeros, of up to 254 bytes, and whether it is the last.
fn parts(frame: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = Some(frame);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let stretch = bytes.iter().take(254).take_while(|&&byte| byte != 0).count();
        let (part, after) = bytes.split_at(stretch);
        // A full stretch stands for itself, a shorter one for a zero that follows.
        rest = if stretch == 254 { (!after.is_empty()).then_some(after) } else { after.get(1..) };
        Some((part, rest.is_none()))
    })
}

/// Takes frames out of what a serial line says.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    /// What came before the first zero began before we listened.
    in_step: bool,
}

impl Decoder {
    /// Takes bytes in and shows each whole frame. What is no frame is dropped.
    pub fn take(&mut self, bytes: &[u8], mut show: impl FnMut(Vec<u8>)) {
        for &byte in bytes {
            if byte != 0 {
                if self.line.len() <= LONGEST {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if std::mem::replace(&mut self.in_step, true) && line.len() <= LONGEST {
                decode(&line).filter(|frame| !frame.is_empty()).into_iter().for_each(&mut show);
            }
        }
    }
}

fn decode(mut line: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    while let Some((&length, rest)) = line.split_first() {
        let (part, after) = rest.split_at_checked(usize::from(length).checked_sub(1)?)?;
        frame.extend_from_slice(part);
        if length < 255 && !after.is_empty() {
            frame.push(0);
        }
        line = after;
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_whatever_it_is() {
        let mut frames: Vec<Vec<u8>> =
            vec![vec![0], vec![0, 0], vec![1], vec![7; 253], vec![7; 254], vec![7; 255]];
        frames.push([vec![7; 254], vec![0]].concat());
        frames.push((0..=255).cycle().take(700).collect());
        let (mut decoder, mut got) = (Decoder::default(), Vec::new());
        for frame in &frames {
            let line = encode(frame);
            assert!(line[1..line.len() - 1].iter().all(|&byte| byte != 0));
            decoder.take(&line, |frame| got.push(frame));
        }
        assert_eq!(got, frames);
    }

    #[test]
    fn what_began_before_we_listened_is_dropped() {
        let (mut decoder, mut got) = (Decoder::default(), Vec::new());
        decoder.take(&[2, 9, 0, 2, 8, 0, 5, 1, 0, 2, 7, 0], |frame| got.push(frame));
        assert_eq!(got, [[8], [7]]);
    }
}
