//! A write that breaks off at any byte, as a process that is killed or a disk that loses power leaves it.

use std::fs;

use super::*;
use crate::idempotency::contract::{LONG, answer, claim, granted};
use crate::reliability::idempotency::Reply;

/// The log's frames: 24 bytes and a page.
const FRAME: usize = 24 + 4096;
/// Between two cuts; around the ends of frames it is every byte.
const STRIDE: usize = 173;

/// What the disk holds of the store at this moment.
struct Image {
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    fn of(fixture: &InFile) -> Image {
        let path = &fixture.settings.path;
        Image { file: fs::read(path).unwrap(), log: fs::read(beside(path, "-wal")).unwrap() }
    }

    /// A store on the first `cut` bytes of the log; `rest`: what stands behind them.
    fn torn(&self, fixture: &InFile, cut: usize, rest: &[u8]) -> InFile {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("torn.db");
        fs::write(&path, &self.file).unwrap();
        fs::write(beside(&path, "-wal"), [&self.log[..cut], rest].concat()).unwrap();
        let settings = EmbeddedSettings { path, ..fixture.settings.clone() };
        let torn = InFile { folder, hands: fixture.hands.clone(), settings, store: Mutex::new(None) };
        assert_eq!(torn.open().quarantined, None, "cut at {cut}");
        torn
    }
}

fn cuts(from: usize, to: usize) -> impl Iterator<Item = usize> {
    (from..=to).filter(move |cut| {
        let into = (cut - from) % FRAME;
        (cut - from).is_multiple_of(STRIDE) || !(3..=FRAME - 3).contains(&into) || *cut == to
    })
}

/// Applies `judge` to the store as every cut of what `now` has beyond `before` leaves it. The last one is whole.
async fn at_every_cut(fixture: &InFile, before: &Image, judge: impl AsyncFn(&InFile, bool)) {
    let now = Image::of(fixture);
    assert!(now.log.starts_with(&before.log) && now.log.len() > before.log.len(), "the log grows at its end");
    for cut in cuts(before.log.len(), now.log.len()) {
        let whole = cut == now.log.len();
        // The file may have grown before its end was written.
        for rest in [vec![], vec![0; now.log.len() - cut]] {
            let torn = now.torn(fixture, cut, &rest);
            let other = torn.key(1).try_claim(claim(9)).await.unwrap();
            assert_eq!(other.answer, Some(answer(1)), "what was kept before is lost at {cut}");
            judge(&torn, whole).await;
        }
    }
}

#[tokio::test]
async fn a_mark_that_is_torn_at_any_byte_is_absent_or_an_unknown_outcome_and_an_answer_is_whole_or_unknown() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done);

    let before = Image::of(&fixture);
    fixture.key(2).sent(claim(2), LONG).await;
    at_every_cut(&fixture, &before, async |torn, whole| {
        let told = torn.key(2).claim(claim(3)).await;
        assert_eq!(told, if whole { Reply::Unknown } else { granted(1, 1) });
    })
    .await;

    let before = Image::of(&fixture);
    assert_eq!(fixture.key(2).complete(2).await, Reply::Done);
    at_every_cut(&fixture, &before, async |torn, whole| {
        let told = torn.key(2).try_claim(claim(3)).await.unwrap();
        let expected =
            if whole { (Reply::Replay { ambiguous: false }, Some(answer(2))) } else { (Reply::Unknown, None) };
        assert_eq!((told.reply, told.answer), expected);
    })
    .await;
}
