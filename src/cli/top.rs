//! `outrigger top`: all dependencies, second by second.
//!
//! `model` is what was seen and what is looked at, `render` makes lines of it, `keys` reads what is typed, `terminal`
//! holds the terminal and gives it back. Only the last of them, and the loop below, touch anything.

mod keys;
mod model;
mod render;
mod terminal;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::Exit;
use super::args::Output;
use super::client::{ClientError, segment};
use super::requests::args::TopArgs;
use super::session::{Failure, Session};
use crate::admin::api::{Requests, Retries, Status};
use crate::clock;
use model::{Heed, Model, Seen};
use render::Size;
use terminal::{Input, News, Terminal};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of a dependency, so many of its last troubled requests are shown.
const TROUBLED_SHOWN: usize = 5;

impl Session<'_> {
    pub(super) fn top(&mut self, args: &TopArgs) -> Result<Exit, Failure> {
        let mut model = Model::default();
        // Before anything is done to the terminal: a proxy that is not there is a plain error.
        self.look(&mut model)?;
        if args.once || !self.surroundings.terminal || self.output == Output::Json {
            return self.frame(&mut model);
        }
        self.live(&mut model)
    }

    /// One frame. Rates need two looks.
    fn frame(&mut self, model: &mut Model) -> Result<Exit, Failure> {
        self.client.wait(async { tokio::time::sleep(LOOK_EVERY).await });
        self.look(model)?;
        if !self.json(&model.rows())? {
            let lines = render::plain(model);
            self.out.write_all(lines.as_bytes())?;
        }
        Ok(Exit::Fine)
    }

    fn live(&mut self, model: &mut Model) -> Result<Exit, Failure> {
        let mut input = self.client.wait(async { Input::open() })?;
        let terminal = Terminal::enter()?;
        let mut next = clock::now() + LOOK_EVERY;
        loop {
            let lines = render::screen(model, terminal.size(), self.surroundings.colour);
            self.out.write_all(lines.as_bytes())?;
            self.out.flush()?;
            match self.client.wait(input.next(next)) {
                News::Typed(bytes) => {
                    let typed = keys::read(&bytes);
                    if typed.into_iter().any(|key| model.press(key) == Heed::Quit) {
                        return Ok(Exit::Fine);
                    }
                }
                News::Resized => {}
                News::End => return Ok(Exit::Fine),
                News::Time => {
                    next = clock::now() + LOOK_EVERY;
                    match self.look(model) {
                        Ok(()) => {}
                        Err(Failure::Client(ClientError::Unreachable { addr, why })) => {
                            model.lost(format!("no proxy answers at {addr}: {why}; still looking"));
                        }
                        Err(failure) => return Err(failure),
                    }
                }
            }
        }
    }

    fn look(&mut self, model: &mut Model) -> Result<(), Failure> {
        let status: Status = self.client.get("/status")?;
        // A version without them has none to show.
        let retries = self.client.get("/retries").unwrap_or(Retries { retries: Vec::new() });
        let troubled = model.opened().and_then(|name| {
            let name = segment(name);
            let path = format!("/requests?outcome=troubled&upstream={name}&limit={TROUBLED_SHOWN}");
            self.client.get::<Requests>(&path).ok()
        });
        model.take_in(Seen { status, retries, troubled, at: clock::now() });
        Ok(())
    }
}

impl Default for Size {
    /// Where nobody says.
    fn default() -> Self {
        Size { columns: 80, rows: 24 }
    }
}
