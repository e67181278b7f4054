//! Who waits here until a node has room for what they ask.

use crate::store::Unavailable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long anything may wait, in line and for its outcome together.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Places for what is under way: one for each thing, and one more for so many bytes of it. What is beyond waits, in order,
/// rather than being refused.
#[derive(Debug)]
pub(crate) struct Line {
    free: Arc<Semaphore>,
    places: usize,
    /// How much one place stands for.
    bytes: usize,
}

/// The places of something, while it is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    places: OwnedSemaphorePermit,
    /// Until when whoever had to wait for it waits for the outcome. Who had not is told by the node in time.
    until: Option<Instant>,
}

impl Line {
    /// All that is under way together is about this many bytes at most.
    pub(crate) fn new(places: usize, bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places)), places, bytes: bytes / places }
    }

    /// Waits until there is room for something that weighs so much.
    pub(crate) async fn turn(&self, weight: usize) -> Result<Turn, Unavailable> {
        let wanted = (1 + weight / self.bytes.max(1)).min(self.places);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let free = || Arc::clone(&self.free);
        if let Ok(places) = free().try_acquire_many_owned(wanted) {
            return Ok(Turn { places, until: None });
        }
        let until = Instant::now() + PATIENCE;
        let places =
            timeout_at(until, free().acquire_many_owned(wanted)).await.map_err(|_| Unavailable::Busy)?;
        Ok(Turn { places: places.map_err(|_| Unavailable::Stopped)?, until: Some(until) })
    }
}

impl Turn {
    /// Waits for the outcome of what was handed in, whose places they are until the node is done with it.
    pub(crate) async fn outcome<T: Send + 'static>(
        self,
        outcome: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let Self { places, until } = self;
        let ending = async {
            let outcome = outcome.await;
            drop(places);
            outcome
        };
        let Some(until) = until else { return ending.await };
        let mut ending = Box::pin(ending);
        match timeout_at(until, &mut ending).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // No more than there are places.
                tokio::spawn(ending);
                Err(Unavailable::Unconfirmed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::FutureExt;
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn who_waited_in_line_waits_as_long_as_all_others_together() {
        let (line, start) = (Line::new(1, 0), Instant::now());
        let first = line.turn(0).await.expect("a place");
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
            drop(first);
        });
        let second = line.turn(0).await.expect("a place");
        let never = second.outcome(pending::<Result<(), _>>()).await;
        assert_eq!((never, start.elapsed()), (Err(Unavailable::Unconfirmed), PATIENCE));
        // The node is not done with it.
        assert_eq!(line.turn(0).await.map(drop), Err(Unavailable::Busy));
        assert_eq!(start.elapsed(), 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_free_again_when_the_node_is_done() {
        let line = Line::new(1, 0);
        for number in 0..3 {
            let turn = line.turn(0).await.expect("a place");
            assert_eq!(turn.outcome(ready(Ok(number))).await, Ok(number));
        }
        let (turn, start) = (line.turn(0).await.expect("a place"), Instant::now());
        let waiting = tokio::spawn(async move { line.turn(0).await.map(|_| line) });
        tokio::task::yield_now().await;
        drop(turn);
        let line = waiting.await.expect("no panic").expect("a place");
        let late = async {
            tokio::time::sleep(2 * PATIENCE).await;
            Ok(())
        };
        let turn = line.turn(0).await.expect("a place");
        assert_eq!(turn.outcome(late).await, Ok(()), "who had not to wait is told by the node");
        assert_eq!(start.elapsed(), 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_takes_several_places_and_the_largest_all_of_them() {
        let line = Line::new(4, 400);
        let small = [99, 0, 99].map(|weight| line.turn(weight).now_or_never());
        assert!(small.iter().all(|turn| matches!(turn, Some(Ok(_)))), "{small:?}");
        assert_eq!(line.turn(100).await.map(drop), Err(Unavailable::Busy), "it takes two");
        drop(small);
        let most = line.turn(1_000_000).await.expect("more than there are is all there are");
        assert_eq!(line.turn(0).await.map(drop), Err(Unavailable::Busy));
        drop(most);
        assert_eq!(line.turn(399).await.map(drop), Ok(()));
    }
}
