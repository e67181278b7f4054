//! Who waits here until a node has room for what they ask.

use crate::store::Unavailable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long anything may wait, in line and for its outcome together.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Places for what is under way. What is beyond waits, in order, rather than being refused.
#[derive(Debug)]
pub(crate) struct Line(Arc<Semaphore>);

/// A place, while something is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    place: OwnedSemaphorePermit,
    /// Until when whoever had to wait for it waits for the outcome. Who had not is told by the node in time.
    until: Option<Instant>,
}

impl Line {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    pub(crate) async fn turn(&self) -> Result<Turn, Unavailable> {
        let line = || Arc::clone(&self.0);
        if let Ok(place) = line().try_acquire_owned() {
            return Ok(Turn { place, until: None });
        }
        let until = Instant::now() + PATIENCE;
        let place = timeout_at(until, line().acquire_owned()).await.map_err(|_| Unavailable::Busy)?;
        Ok(Turn { place: place.map_err(|_| Unavailable::Stopped)?, until: Some(until) })
    }
}

impl Turn {
    /// Waits for the outcome of what was handed in, whose place it is until the node is done with it.
    pub(crate) async fn outcome<T: Send + 'static>(
        self,
        outcome: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let Self { place, until } = self;
        let ending = async {
            let outcome = outcome.await;
            drop(place);
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
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn who_waited_in_line_waits_as_long_as_all_others_together() {
        let (line, start) = (Line::new(1), Instant::now());
        let first = line.turn().await.expect("a place");
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
            drop(first);
        });
        let second = line.turn().await.expect("a place");
        let never = second.outcome(pending::<Result<(), _>>()).await;
        assert_eq!((never, start.elapsed()), (Err(Unavailable::Unconfirmed), PATIENCE));
        // The node is not done with it.
        assert_eq!(line.turn().await.map(drop), Err(Unavailable::Busy));
        assert_eq!(start.elapsed(), 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_free_again_when_the_node_is_done() {
        let line = Line::new(1);
        for number in 0..3 {
            let turn = line.turn().await.expect("a place");
            assert_eq!(turn.outcome(ready(Ok(number))).await, Ok(number));
        }
        let (turn, start) = (line.turn().await.expect("a place"), Instant::now());
        let waiting = tokio::spawn(async move { line.turn().await.map(|_| line) });
        tokio::task::yield_now().await;
        drop(turn);
        let line = waiting.await.expect("no panic").expect("a place");
        let late = async {
            tokio::time::sleep(2 * PATIENCE).await;
            Ok(())
        };
        let turn = line.turn().await.expect("a place");
        assert_eq!(turn.outcome(late).await, Ok(()), "who had not to wait is told by the node");
        assert_eq!(start.elapsed(), 2 * PATIENCE);
    }
}
