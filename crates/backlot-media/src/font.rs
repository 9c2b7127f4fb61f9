//! Digits for labels: a font of 3 x 5 pixels, drawn in any whole multiple.
//!
//! Deliberately absent: letters; a label is a frame number.

/// Rows of each digit, the leftmost pixel in the highest of three bits.
const DIGITS: [[u8; 5]; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b111, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b010, 0b010, 0b010],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];

/// Rows of a digit.
const ROWS: usize = 5;
/// Columns of a digit with the gap behind it.
const ADVANCE: usize = 4;

/// The pixels of a number in a size: columns and rows from its upper left corner.
pub(crate) fn pixels(number: u64, scale: usize) -> Vec<(usize, usize)> {
    let mut pixels = Vec::new();
    for (position, digit) in number.to_string().bytes().enumerate() {
        let rows = DIGITS[usize::from(digit - b'0')];
        for (row, bits) in rows.iter().enumerate() {
            for column in (0..3).filter(|column| bits & (0b100 >> column) != 0) {
                let (x, y) = ((position * ADVANCE + column) * scale, row * scale);
                pixels.extend((0..scale * scale).map(|dot| (x + dot % scale, y + dot / scale)));
            }
        }
    }
    pixels
}

/// Rows of a label in a size.
pub(crate) fn height(scale: usize) -> usize {
    ROWS * scale
}

#[cfg(test)]
mod tests {
    use super::{height, pixels};

    #[test]
    fn a_number_is_drawn_within_its_box() {
        let all = pixels(1_234_567_890, 2);
        assert!(all.iter().all(|(x, y)| *x < 10 * 8 && *y < height(2)));
        let mut one: Vec<(usize, usize)> = pixels(1, 1);
        one.sort_unstable();
        assert_eq!(
            one,
            [(0, 1), (0, 4), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 4)]
        );
    }
}
