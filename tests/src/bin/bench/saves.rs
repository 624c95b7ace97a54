//! The time from a save to the first answer of the new code.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arguments::Effort;
use crate::client::{Client, Requests, pause};
use crate::projects::{Edit, Generated};
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The number of saves before anything is measured: files that stay the same are read and compiled
/// once.
const WARM_UP: usize = 2;

/// The same number for a subject that starts anew: it knows nothing of the code before.
const WARM_UP_OF_RESTARTS: usize = 1;

/// The pause between an answer and the next save, in which a person would look at the result. In this
/// time watchers see that nothing more comes, and Baton evaluates ahead of the next save.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// The time after which a save counts as overlooked, and the file is saved anew.
const OVERLOOKED: Duration = Duration::from_secs(15);

const SIZES: [usize; 5] = [1, 10, 14, 100, 1_000];

/// Measures edits of one module of a project, saved in place. A caller asks again and again, each time
/// over a connection of its own, until the new code answers.
pub(crate) async fn saves(stage: Arc<Stage>) -> Vec<Row> {
    let mut rows = Vec::new();
    for modules in SIZES {
        rows.extend(of_size(&stage, modules).await);
    }
    let growth = |edit: Edit| {
        let of = |modules: usize| rows.iter().find(|row| row.name == name(modules, edit));
        let row = of(1_000)?.by(of(10)?, format!("{}: by that of 10", name(1_000, edit)))?;
        Some(row.goal(Goal::AtMost(Statistic::P50, 3.0)))
    };
    let growth: Vec<_> = [Edit::Leaf, Edit::Hub].into_iter().filter_map(growth).collect();
    rows.extend(growth);
    rows
}

fn name(modules: usize, edit: Edit) -> String {
    let plural = if modules == 1 { "module" } else { "modules" };
    format!("save → serving, {modules} {plural}, {}", edit.name())
}

/// The saves of one kind, in all rounds.
struct Series {
    edit: Edit,
    row: Row,
    overlooked: HashMap<Subject, usize>,
}

impl Series {
    fn of(modules: usize, edit: Edit) -> Self {
        Self {
            edit,
            row: Row::samples(name(modules, edit), "ms"),
            overlooked: HashMap::new(),
        }
    }
}

async fn of_size(stage: &Stage, modules: usize) -> Vec<Row> {
    let edits = [Edit::Leaf, Edit::Hub];
    let edits = edits.into_iter().filter(|edit| *edit == Edit::Leaf || modules > 1);
    let mut series: Vec<_> = edits.map(|edit| Series::of(modules, edit)).collect();
    for round in 0..stage.rounds() {
        for subject in stage.turns(subjects(stage.effort, modules), round) {
            turn(stage, subject, modules, &mut series).await;
        }
    }
    let goals: &[Goal] = match modules {
        1 | 14 => &[Goal::AtMost(Statistic::P50, 15.0), Goal::AtMost(Statistic::P99, 40.0)],
        100 => &[Goal::AtMost(Statistic::P50, 25.0)],
        _ => &[],
    };
    let mut rows = Vec::new();
    for Series { row, .. } in series {
        let row = goals.iter().fold(row, |row, goal| row.goal(*goal));
        let ratio = row.ratio(Subject::BunHot);
        rows.push(row);
        let third = Goal::AtMost(Statistic::P50, 0.33);
        rows.extend(ratio.map(|ratio| if modules <= 14 { ratio.goal(third) } else { ratio }));
    }
    rows
}

/// Returns the subjects for a size. 10 modules are there to compare 1,000 of Baton with; a quick look
/// compares Baton with others at one size.
fn subjects(effort: Effort, modules: usize) -> &'static [Subject] {
    match (effort, modules) {
        (_, 10) => &[Subject::Baton],
        (Effort::Full, _) | (Effort::Quick, 14) => &Subject::ALL,
        (Effort::Quick, 1) => &[Subject::Baton, Subject::BunHot],
        (Effort::Quick, _) => &[Subject::Baton],
    }
}

async fn turn(stage: &Stage, subject: Subject, modules: usize, series: &mut [Series]) {
    let generated = Generated::of(modules);
    let requests = Generated::requests();
    let server = Server::start(stage, subject, &generated.project);
    server.boots(&requests, |reply| Generated::shows(reply, "first")).await;
    let (warm_up, saves) = if subject.restarts() {
        (WARM_UP_OF_RESTARTS, stage.effort.choose(1, 5))
    } else {
        (WARM_UP, stage.effort.choose(3, 20))
    };
    for Series { edit, row, overlooked } in series {
        let mut samples = Vec::new();
        for save in 0..warm_up + saves {
            tokio::time::sleep(REST).await;
            let version = format!("{} {save}", edit.name());
            match save_until_shown(&generated, *edit, &server, &requests, &version).await {
                Saved::AtOnce(took) if save >= warm_up => samples.push(took),
                Saved::AtOnce(_) => {}
                Saved::Overlooked => *overlooked.entry(subject).or_default() += 1,
                Saved::Never => {
                    eprintln!("\n  {version} was saved twice, and is not served: {server}");
                    row.note(subject, "(gave up)");
                    return;
                }
            }
        }
        if let Some(count) = overlooked.get(&subject) {
            row.note(subject, format!("({count} overlooked)"));
        }
        if !samples.is_empty() {
            row.add(subject, samples);
        }
    }
}

/// The outcome of a save.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Saved {
    /// The new code answered so many milliseconds after the save.
    AtOnce(f64),
    /// The new code answered only once the same text was saved again.
    Overlooked,
    /// The new code did not answer even then.
    Never,
}

/// Saves a new version, and asks until that version answers.
pub(crate) async fn save_until_shown(
    generated: &Generated,
    edit: Edit,
    server: &Server,
    requests: &Requests,
    version: &str,
) -> Saved {
    let client = server.client();
    generated.save(edit, version);
    if let Some(took) = shown(&client, requests, version).await {
        return Saved::AtOnce(took);
    }
    generated.save(edit, version);
    match shown(&client, requests, version).await {
        Some(_) => Saved::Overlooked,
        None => Saved::Never,
    }
}

/// Returns the milliseconds until the new code answers; none when it does not for too long.
async fn shown(client: &Client, requests: &Requests, version: &str) -> Option<f64> {
    let saved = Instant::now();
    while saved.elapsed() < OVERLOOKED {
        // A subject that restarts accepts nothing for a while, or cuts connections that it has
        // accepted.
        if let Ok(reply) = client.ask(requests.next()).await
            && Generated::shows(&reply, version)
        {
            return Some(saved.elapsed().as_secs_f64() * 1e3);
        }
        pause().await;
    }
    None
}
