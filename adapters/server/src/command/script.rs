//! Scripts: each is one change or one query.

use super::{Action, Shape, not_an_integer, unknown_subcommand, wrong_number};
use crate::resp::{Request, Value};
use crate::scripts::{self, Script, Scripts};
use quorate::keyspace::{Blob, Change, Extension, Query};

type Parsed = Result<Action, Value>;

pub(super) fn eval(request: &Request<'_>, scripts: &Scripts) -> Parsed {
    let (_, script) = scripts.load(request.part(1)).ok_or_else(unsupported)?;
    run(script, request)
}

pub(super) fn evalsha(request: &Request<'_>, scripts: &Scripts) -> Parsed {
    match scripts.find(request.part(1)) {
        Some(script) => run(script, request),
        None => Err(Value::error("NOSCRIPT No matching script. Please use EVAL.")),
    }
}

pub(super) fn script(request: &Request<'_>, scripts: &Scripts) -> Parsed {
    if request.is(1, "load") {
        if request.len() != 3 {
            return Err(wrong_number("script|load"));
        }
        let (digest, _) = scripts.load(request.part(2)).ok_or_else(unsupported)?;
        Ok(Action::Reply(Value::text(&digest)))
    } else if request.is(1, "exists") {
        if request.len() < 3 {
            return Err(wrong_number("script|exists"));
        }
        let known = |index| Value::Integer(scripts.find(request.part(index)).is_some().into());
        Ok(Action::Reply(Value::Array((2..request.len()).map(known).collect())))
    } else {
        Err(unknown_subcommand(request))
    }
}

fn unsupported() -> Value {
    Value::error(
        "ERR unsupported script: only those that redis-py, redlock-py, pottery, redsync, node-redlock and rslock \
         take, keep and release locks with",
    )
}

/// The keys and the arguments of a script call.
struct Call<'r> {
    request: &'r Request<'r>,
    keys: usize,
}

impl Call<'_> {
    fn keys(&self) -> Vec<Blob> {
        (3..3 + self.keys).map(|index| self.request.blob(index)).collect()
    }

    /// An argument, from 0.
    fn index(&self, argument: usize) -> usize {
        3 + self.keys + argument
    }

    fn blob(&self, argument: usize) -> Blob {
        self.request.blob(self.index(argument))
    }

    /// What is over or was never there is no time at all.
    fn millis(&self, argument: usize) -> Result<u64, Value> {
        let millis = self.request.integer(self.index(argument)).ok_or_else(not_an_integer)?;
        Ok(u64::try_from(millis).unwrap_or(0))
    }

    fn lasting(&self, argument: usize) -> Result<u64, Value> {
        match self.millis(argument)? {
            0 => Err(Value::error("ERR invalid expire time in 'set' command")),
            millis => Ok(millis),
        }
    }
}

fn run(script: Script, request: &Request<'_>) -> Parsed {
    let keys = request.integer(2).ok_or_else(not_an_integer)?;
    let keys = usize::try_from(keys).map_err(|_| Value::error("ERR Number of keys can't be negative"))?;
    let Some(arguments) = (request.len() - 3).checked_sub(keys) else {
        return Err(Value::error("ERR Number of keys can't be greater than number of args"));
    };
    let enough = if script.many { keys > 0 } else { keys == 1 };
    if !enough || arguments < script.arguments() {
        let wanted = if script.many { "keys" } else { "key" };
        let wanted =
            format!("ERR this script takes {} {wanted} and ", if script.many { "some" } else { "one" });
        return Err(Value::error(format!("{wanted}{} arguments", script.arguments())));
    }
    step(script, &Call { request, keys })
}

fn step(script: Script, call: &Call<'_>) -> Parsed {
    let (keys, key) = (call.keys(), call.request.blob(3));
    let value = call.blob(0);
    // A script of one key answers yes or no; of many, how many.
    let counted = if script.many { Shape::Plain } else { Shape::Any };
    match script.action {
        scripts::Action::Delete => Action::change(Change::CompareDelete { keys, value }, Shape::Plain),
        scripts::Action::DeleteOrAbsent => {
            Action::change(Change::CompareDelete { keys, value }, Shape::EqualOrAbsent)
        }
        scripts::Action::Expire => {
            let (millis, extension) = (call.millis(1)?, Extension::Replace);
            Action::change(Change::CompareExpire { keys, value, millis, extension }, counted)
        }
        scripts::Action::Extend => {
            let add = call.request.part(call.index(2)) == b"0";
            let extension = if add { Extension::Add } else { Extension::ReplaceExpiring };
            let millis = call.millis(1)?;
            Action::change(Change::CompareExpire { keys, value, millis, extension }, counted)
        }
        scripts::Action::Held => Action::query(Query::Held { key, value }, Shape::Held),
        scripts::Action::ExpireOrCreate => {
            Action::change(Change::CompareOrCreate { key, value, millis: call.lasting(1)? }, counted)
        }
        scripts::Action::Create => {
            Action::change(Change::CreateAll { keys, value, millis: call.lasting(1)? }, counted)
        }
    }
}
