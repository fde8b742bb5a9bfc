//! Every acceptor and connector alive, by whose it is and what the policy says of it: the same words, the same session
//! tickets.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::{ClientConfig, ServerConfig};

use super::certificate::Purpose;
use super::event::{Event, Holder, Tell};
use super::material::{Held, Problem, Reading};
use super::roots::SystemRoots;
use super::{Acceptor, Connector, client, server};
use crate::policy::Direction;
use crate::policy::tls::{ClientTls, Identity, ServerTls};

/// Acceptors and connectors outlive policies as long as their words stay.
pub struct Registry {
    alive: Mutex<Vec<Entry>>,
    roots: SystemRoots,
    tell: Tell,
}

/// How one of them stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub holder: Holder,
    /// What is presented.
    pub presented: Option<Held>,
    /// Of those that are believed, the one that expires first. None: those whom the system trusts, or nobody is looked at.
    pub believed: Option<Held>,
    /// Why what the files hold now is not in force.
    pub error: Option<String>,
}

struct Entry {
    subject: Subject,
    /// Of what was in the files when that came into force which is.
    mark: u64,
    /// Of what is in the files now, if it cannot be used.
    refused: Option<u64>,
    standing: Standing,
}

/// What files are read for.
enum Subject {
    Server(Arc<ServerTls>, Weak<Acceptor>),
    Client(Arc<ClientTls>, Weak<Connector>),
}

/// What came of reading them.
struct Material {
    mark: u64,
    problems: Vec<Problem>,
    presented: Option<Held>,
    believed: Option<Held>,
    outcome: Result<Config, String>,
}

enum Config {
    Server(Box<ServerConfig>),
    Client([Arc<ClientConfig>; 3]),
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty one. `tell` learns of what happens in its handshakes and to its files.
    pub fn new(tell: Tell) -> Registry {
        Registry { alive: Mutex::default(), roots: SystemRoots::default(), tell }
    }

    /// The acceptor for `spec`, of the listener before the upstream `name`. Reads files: not for the data plane's threads.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn acceptor(&self, name: &Arc<str>, spec: &Arc<ServerTls>) -> Result<Arc<Acceptor>, String> {
        let holder = Holder { direction: Direction::Inbound, name: Arc::clone(name) };
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|entry| entry.subject.lives());
        let known = alive.iter().find_map(|entry| match &entry.subject {
            Subject::Server(words, acceptor) if words == spec && entry.standing.holder == holder => acceptor.upgrade(),
            Subject::Server(..) | Subject::Client(..) => None,
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let Material { mark, problems: _, presented, believed, outcome } = self.read_server(spec);
        let Config::Server(config) = outcome? else { return Err("no configuration of a server".to_owned()) };
        let acceptor = Arc::new(Acceptor::new(holder.clone(), Arc::clone(spec), *config, Arc::clone(&self.tell)));
        let subject = Subject::Server(Arc::clone(spec), Arc::downgrade(&acceptor));
        alive.push(Entry {
            subject,
            mark,
            refused: None,
            standing: Standing { holder, presented, believed, error: None },
        });
        Ok(acceptor)
    }

    /// The connector for `spec`, of the upstream `name`. Reads files: not for the data plane's threads.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn connector(&self, name: &Arc<str>, spec: &Arc<ClientTls>) -> Result<Arc<Connector>, String> {
        let holder = Holder { direction: Direction::Outbound, name: Arc::clone(name) };
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|entry| entry.subject.lives());
        let known = alive.iter().find_map(|entry| match &entry.subject {
            Subject::Client(words, connector) if words == spec && entry.standing.holder == holder => {
                connector.upgrade()
            }
            Subject::Server(..) | Subject::Client(..) => None,
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let Material { mark, problems: _, presented, believed, outcome } = self.read_client(spec);
        let Config::Client(configs) = outcome? else { return Err("no configuration of a client".to_owned()) };
        let connector = Arc::new(Connector::new(holder.clone(), Arc::clone(spec), configs, Arc::clone(&self.tell)));
        let subject = Subject::Client(Arc::clone(spec), Arc::downgrade(&connector));
        alive.push(Entry {
            subject,
            mark,
            refused: None,
            standing: Standing { holder, presented, believed, error: None },
        });
        Ok(connector)
    }

    /// Every file that is in use.
    pub fn files(&self) -> Vec<PathBuf> {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<PathBuf> = alive.iter().flat_map(|entry| entry.subject.files()).collect();
        files.sort();
        files.dedup();
        files
    }

    /// How all of them stand.
    pub fn standings(&self) -> Vec<Standing> {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.iter().filter(|entry| entry.subject.lives()).map(|entry| entry.standing.clone()).collect()
    }

    /// Reads all files again, and uses from now on what has changed and is good. What is not keeps the last that was.
    pub fn reload(&self) {
        let mut events = Vec::new();
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|entry| entry.subject.lives());
        for entry in alive.iter_mut() {
            let material = match &entry.subject {
                Subject::Server(spec, _) => self.read_server(spec),
                Subject::Client(spec, _) => self.read_client(spec),
            };
            events.extend(entry.take(material));
        }
        drop(alive);
        together(events).iter().for_each(|event| (self.tell)(event));
    }

    fn read_server(&self, spec: &Arc<ServerTls>) -> Material {
        let mut reading = Reading::default();
        let presented = reading.identity(&spec.identity, Purpose::Server);
        let believed = spec.client_ca.as_deref().map(|ca| reading.authorities(ca));
        let outcome = match (&presented, &believed) {
            (Some(presented), None) => server::config(spec, presented, None),
            (Some(presented), Some(Some(believed))) => server::config(spec, presented, Some(believed)),
            (None, _) | (_, Some(None)) => Err(reading.unusable().unwrap_or_default().to_owned()),
        };
        Material {
            mark: reading.mark(),
            problems: reading.problems,
            presented: presented.map(|presented| presented.held),
            believed: believed.flatten().and_then(|believed| believed.held),
            outcome: outcome.map(|config| Config::Server(Box::new(config))),
        }
    }

    fn read_client(&self, spec: &Arc<ClientTls>) -> Material {
        let mut reading = Reading::default();
        let presented = spec.identity.as_ref().map(|identity| reading.identity(identity, Purpose::Client));
        let believed = spec.ca.as_deref().map(|ca| reading.authorities(ca));
        let outcome = match (&presented, &believed) {
            (Some(None), _) | (_, Some(None)) => Err(reading.unusable().unwrap_or_default().to_owned()),
            (presented, believed) => {
                let presented = presented.as_ref().and_then(Option::as_ref);
                let roots = match believed {
                    Some(Some(believed)) => Ok(Arc::clone(&believed.roots)),
                    _ => self.roots.get(),
                };
                roots.and_then(|roots| client::configs(spec, presented, roots))
            }
        };
        Material {
            mark: reading.mark(),
            problems: reading.problems,
            presented: presented.flatten().map(|presented| presented.held),
            believed: believed.flatten().and_then(|believed| believed.held),
            outcome: outcome.map(Config::Client),
        }
    }

    /// What is wrong with the files of a listener, whatever is in force.
    pub fn problems_of_server(&self, spec: &Arc<ServerTls>) -> Vec<Problem> {
        self.read_server(spec).problems
    }

    /// What is wrong with the files of an upstream, whatever is in force.
    ///
    /// # Errors
    /// What is wrong with no file: the system trusts nobody.
    pub fn problems_of_client(&self, spec: &Arc<ClientTls>) -> Result<Vec<Problem>, String> {
        let Material { problems, outcome, .. } = self.read_client(spec);
        match outcome {
            Err(error) if problems.is_empty() => Err(error),
            Err(_) | Ok(_) => Ok(problems),
        }
    }
}

impl Subject {
    fn lives(&self) -> bool {
        match self {
            Subject::Server(_, acceptor) => acceptor.strong_count() > 0,
            Subject::Client(_, connector) => connector.strong_count() > 0,
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let (identity, authorities) = match self {
            Subject::Server(spec, _) => (Some(&spec.identity), &spec.client_ca),
            Subject::Client(spec, _) => (spec.identity.as_ref(), &spec.ca),
        };
        let pair = identity.into_iter().flat_map(|Identity { cert, key }| [cert, key]);
        pair.chain(authorities).cloned().collect()
    }
}

impl Entry {
    /// Uses what was read, if it is new and good.
    fn take(&mut self, material: Material) -> Option<Event> {
        let Material { mark, problems: _, presented, believed, outcome } = material;
        let holders = vec![self.standing.holder.clone()];
        match outcome {
            // It is in force, and has expired since: that is told elsewhere, and is no news of the files.
            Err(_) if mark == self.mark => {
                (self.refused, self.standing.error) = (None, None);
                None
            }
            Err(error) => {
                let known = self.refused.replace(mark) == Some(mark);
                self.standing.error = Some(error.clone());
                (!known).then_some(Event::Unusable { holders, error })
            }
            // As before: also when it was something else in between.
            Ok(_) if mark == self.mark => {
                self.standing.error = None;
                self.refused.take().map(|_| Event::Recovered { holders })
            }
            Ok(config) => {
                match (&self.subject, config) {
                    (Subject::Server(_, acceptor), Config::Server(config)) => acceptor.upgrade()?.replace(*config),
                    (Subject::Client(_, connector), Config::Client(configs)) => connector.upgrade()?.replace(configs),
                    (Subject::Server(..), Config::Client(_)) | (Subject::Client(..), Config::Server(_)) => return None,
                }
                let what = difference(&self.standing, presented.as_ref(), believed.as_ref());
                let certificate = presented.clone().filter(|now| self.standing.presented.as_ref() != Some(now));
                (self.mark, self.refused) = (mark, None);
                self.standing = Standing { presented, believed, error: None, ..self.standing.clone() };
                Some(Event::Replaced { holders, what, certificate })
            }
        }
    }
}

/// What is new, in words.
fn difference(before: &Standing, presented: Option<&Held>, believed: Option<&Held>) -> String {
    let certificate = presented.filter(|now| before.presented.as_ref() != Some(*now)).map(|now| {
        format!("certificate of {} replaced, valid until {}", now.subject, super::certificate::date(now.not_after))
    });
    let authorities = believed.filter(|now| before.believed.as_ref() != Some(*now));
    let authorities = authorities.map(|now| format!("authorities in {} replaced", now.file.display()));
    match (certificate, authorities) {
        (Some(certificate), Some(authorities)) => format!("{certificate}; {authorities}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "files read again: other certificates behind the first one, or other authorities".to_owned(),
    }
}

/// One event for all that share their files.
fn together(events: Vec<Event>) -> Vec<Event> {
    let mut merged: Vec<Event> = Vec::new();
    for mut event in events {
        let same = merged.iter_mut().find_map(|known| match (known, &mut event) {
            (Event::Replaced { holders, what, .. }, Event::Replaced { holders: more, what: also, .. })
                if what == also =>
            {
                Some((holders, std::mem::take(more)))
            }
            (Event::Unusable { holders, error }, Event::Unusable { holders: more, error: also }) if error == also => {
                Some((holders, std::mem::take(more)))
            }
            (Event::Recovered { holders }, Event::Recovered { holders: more }) => Some((holders, std::mem::take(more))),
            _ => None,
        });
        match same {
            Some((holders, more)) => holders.extend(more),
            None => merged.push(event),
        }
    }
    merged
}
