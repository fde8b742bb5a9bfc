//! Verdicts in virtual time: a model of an upstream, looked at once a second.

mod causes;
mod changes;
mod course;
mod noise;
mod sim;
