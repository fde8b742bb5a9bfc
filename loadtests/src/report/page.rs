//! The report as one HTML file that needs nothing else: no network, no fonts, no script.

#[cfg(test)]
mod tests;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::gates::{self, is_ours};
use crate::report::chart::latency::by_percentile;
use crate::report::chart::timeline;
use crate::report::metric::Metric;
use crate::report::sheet::{COST, EFFECT, LATENCY, Sheet, rows, sheet};
use crate::report::table::{remarks, shortened};
use crate::report::verdict::{Standing, verdicts};
use crate::report::{facts, sheet};
use crate::results::{Run, ScenarioRun};

const TEMPLATE: &str = include_str!("page.html");

/// Colours (on light, on dark) and dash patterns. They differ by lightness and dash as well, so that they can be told
/// apart in print and by people who see colours differently.
const STYLES: [(&str, &str, &str, &str); 7] = [
    ("direct", "#6b7280", "#9ca3af", "2 3"),
    ("outrigger", "#0b5fc0", "#62acff", "none"),
    ("envoy", "#c2410c", "#ff9559", "8 3"),
    ("haproxy", "#0f766e", "#3fd6c2", "12 3 2 3"),
    ("nginx", "#a21caf", "#ee8bf7", "4 2"),
    ("pingora", "#946200", "#e5b93c", "14 4"),
    ("outrigger-b", "#0e7490", "#67e0f5", "10 2 2 2 2 2"),
];

/// For arms of other names, in turn.
const MORE_STYLES: [(&str, &str, &str); 4] = [
    ("#be123c", "#fb7c93", "6 2 1 2"),
    ("#4d7c0f", "#a9dc4a", "3 3 8 3"),
    ("#6d28d9", "#b79bfb", "1 2"),
    ("#44403c", "#d6d3d1", "16 3 3 3"),
];

/// An arm and its looks.
#[derive(Serialize)]
struct ArmView {
    class: String,
    light: &'static str,
    dark: &'static str,
    dash: &'static str,
    ours: bool,
    name: String,
    version: String,
    command: String,
    config: String,
    lacks: String,
}

#[derive(Serialize)]
struct VerdictView {
    badge: String,
    /// `ahead`, `level`, `behind` or nothing.
    standing: &'static str,
    text: String,
}

#[derive(Serialize)]
struct SheetView {
    caption: &'static str,
    heads: Vec<HeadView>,
    lines: Vec<LineView>,
}

#[derive(Serialize)]
struct HeadView {
    text: String,
    unit: String,
    title: String,
}

#[derive(Serialize)]
struct LineView {
    class: String,
    ours: bool,
    /// Its rounds are all invalid.
    invalid: bool,
    arm: String,
    /// Value and spread.
    cells: Vec<(String, String)>,
}

#[derive(Serialize)]
struct GateView {
    /// `passed`, `failed` or `moot`.
    kind: &'static str,
    word: &'static str,
    condition: String,
    arm: String,
    outcome: String,
}

#[derive(Serialize)]
struct ChartView {
    title: String,
    svg: String,
}

#[derive(Serialize)]
struct ScenarioView {
    id: String,
    name: String,
    title: String,
    description: String,
    load: String,
    faults: Vec<String>,
    invalid: Vec<String>,
    invalid_in_short: String,
    verdicts: Vec<VerdictView>,
    gates: Vec<GateView>,
    failed: usize,
    charts: Vec<ChartView>,
    sheets: Vec<SheetView>,
    remarks: Vec<String>,
    source: String,
}

/// One line of the overview: success and attempts of every arm.
#[derive(Serialize)]
struct OverviewLine {
    id: String,
    title: String,
    invalid: bool,
    /// Per arm: success and attempts, empty if it did not play.
    cells: Vec<(String, String)>,
}

/// The cost of one scenario that costs are read from.
#[derive(Serialize)]
struct CostView {
    id: String,
    title: String,
    sheet: SheetView,
}

/// All that the template shows.
#[derive(Serialize)]
struct PageView<'a> {
    name: &'a str,
    started: &'a str,
    machine: String,
    method: String,
    environment: Vec<(&'static str, String)>,
    tally: String,
    trouble: bool,
    skipped: Vec<(&'a str, &'a str)>,
    overview: Vec<OverviewLine>,
    costs: Vec<CostView>,
    arms: &'a [ArmView],
    scenarios: Vec<ScenarioView>,
}

/// The run as one HTML file.
///
/// # Errors
/// If the template fails, which is a defect of this program.
pub fn page(run: &Run) -> Result<String, String> {
    let arms = arm_views(run);
    let class = |name: &str| arms.iter().find(|arm| arm.name == name).map_or(String::new(), |arm| arm.class.clone());
    let scenarios: Vec<ScenarioView> =
        run.scenarios.iter().enumerate().map(|(index, scenario)| scenario_view(index, scenario, &class)).collect();
    let tally = facts::tally(run);
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| error.to_string())?);
    environment.add_template("page.html", TEMPLATE).map_err(|error| error.to_string())?;
    let template = environment.get_template("page.html").map_err(|error| error.to_string())?;
    let rendered = template.render(Serde(PageView {
        name: &run.name,
        started: &run.started,
        machine: facts::machine(run),
        method: facts::method(run),
        environment: environment_rows(run),
        tally: tally.sentence(),
        trouble: tally.failed > 0 || tally.invalid > 0,
        skipped: run.skipped.iter().map(|it| (it.arm.as_str(), it.reason.as_str())).collect(),
        overview: overview(run),
        costs: costs(run, &class),
        arms: &arms,
        scenarios,
    }));
    rendered.map_err(|error| format!("{error:#}"))
}

/// The arms of the run, and those that only scenarios name.
fn arm_views(run: &Run) -> Vec<ArmView> {
    let mut names: Vec<&str> = run.arms.iter().map(|arm| arm.name.as_str()).collect();
    for arm in run.scenarios.iter().flat_map(|scenario| &scenario.arms) {
        if !names.contains(&arm.arm.as_str()) {
            names.push(&arm.arm);
        }
    }
    let mut more = MORE_STYLES.into_iter().cycle();
    let known =
        |name: &str| STYLES.into_iter().find(|style| style.0 == name).map(|(_, light, dark, dash)| (light, dark, dash));
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let (light, dark, dash) = known(name).or_else(|| more.next()).unwrap_or(("#000000", "#ffffff", "none"));
            let arm = run.arms.iter().find(|arm| arm.name == name);
            let text = |of: fn(&crate::results::Arm) -> &String| arm.map(of).cloned().unwrap_or_default();
            ArmView {
                class: format!("a{index}"),
                light,
                dark,
                dash,
                ours: is_ours(name),
                name: name.to_owned(),
                version: text(|arm| &arm.version),
                command: text(|arm| &arm.command),
                config: text(|arm| &arm.config),
                lacks: arm.map(|arm| arm.lacks.join(", ")).unwrap_or_default(),
            }
        })
        .collect()
}

fn scenario_view(index: usize, scenario: &ScenarioRun, class: &dyn Fn(&str) -> String) -> ScenarioView {
    let rows = rows(scenario);
    let mut charts = vec![by_percentile(scenario, class)];
    charts.extend(timeline::charts(scenario, class));
    let table = |caption, columns| sheet_view(caption, sheet(scenario, &rows, columns), class);
    let sheets = [
        table("What users saw", EFFECT),
        table("Latency of answered requests; + is over direct in the same round", LATENCY),
        table("What the proxy used; CPU, system calls and switches per request of the clients", COST),
    ];
    let gates: Vec<GateView> = scenario.gates.iter().map(gate_view).collect();
    ScenarioView {
        id: id(index),
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        description: scenario.description.clone(),
        load: facts::load(scenario),
        faults: facts::faults(scenario),
        invalid: scenario.invalid.clone(),
        invalid_in_short: in_short(&scenario.invalid),
        verdicts: verdict_views(scenario),
        failed: gates.iter().filter(|gate| gate.kind == "failed").count(),
        gates,
        charts: charts
            .iter()
            .filter_map(|chart| Some(ChartView { title: chart.title.clone(), svg: chart.svg()? }))
            .collect(),
        sheets: sheets.into_iter().filter(|sheet| !sheet.heads.is_empty()).collect(),
        remarks: remarks(scenario, &rows),
        source: scenario.source.clone(),
    }
}

/// Anchor of a scenario; its name may hold anything.
fn id(index: usize) -> String {
    format!("scenario-{}", index + 1)
}

/// The first reason, and how many there are besides.
fn in_short(reasons: &[String]) -> String {
    let first = reasons.first().map_or("", String::as_str);
    let more = reasons.len().saturating_sub(1);
    let more = if more > 0 { format!("; and {}", facts::counted(more as u64, "more reason")) } else { String::new() };
    format!("{}{more}", shortened(first))
}

fn verdict_views(scenario: &ScenarioRun) -> Vec<VerdictView> {
    let view = |verdict: crate::report::verdict::Verdict| VerdictView {
        badge: verdict.badge(),
        standing: verdict.standing.map_or("", |(_, standing): (Metric, Standing)| standing.word()),
        text: verdict.text,
    };
    verdicts(scenario).into_iter().map(view).collect()
}

fn sheet_view(caption: &'static str, sheet: Sheet, class: &dyn Fn(&str) -> String) -> SheetView {
    let heads = sheet.heads.into_iter().map(|head| HeadView { text: head.text, unit: head.unit, title: head.title });
    let lines = sheet.lines.into_iter().map(|line| LineView {
        class: class(&line.arm),
        ours: line.ours,
        invalid: line.invalid,
        arm: line.arm,
        cells: line.cells.into_iter().map(|cell| (cell.value, cell.spread)).collect(),
    });
    SheetView { caption, heads: heads.collect(), lines: lines.collect() }
}

fn gate_view(gate: &crate::results::Gate) -> GateView {
    let (kind, word) = match (gate.moot, gate.passed) {
        (true, _) => ("moot", "not judged"),
        (false, true) => ("passed", "passed"),
        (false, false) => ("failed", "failed"),
    };
    GateView { kind, word, condition: gate.condition.clone(), arm: gate.arm.clone(), outcome: gates::outcome(gate) }
}

/// Success and attempts of every arm in every scenario.
fn overview(run: &Run) -> Vec<OverviewLine> {
    let arms = arm_views(run);
    let line = |(index, scenario): (usize, &ScenarioRun)| {
        let rows = rows(scenario);
        let cell = |name: &str| {
            let summary = rows.iter().find(|row| row.arm.arm == name).map(|row| &row.summary);
            let shown = |metric| summary.and_then(|it| it.of(metric)).map(|figure| sheet::shown(metric, &figure));
            (shown(Metric::Success).unwrap_or_default(), shown(Metric::Amplification).unwrap_or_default())
        };
        OverviewLine {
            id: id(index),
            title: scenario.title.clone(),
            invalid: !scenario.invalid.is_empty(),
            cells: arms.iter().map(|arm| cell(&arm.name)).collect(),
        }
    };
    run.scenarios.iter().enumerate().map(line).collect()
}

/// Costs of the valid scenarios in which nothing fails: only there do all arms do the same work.
fn costs(run: &Run, class: &dyn Fn(&str) -> String) -> Vec<CostView> {
    let scenarios = run.scenarios.iter().enumerate();
    let well = scenarios.filter(|(_, scenario)| scenario.faults.is_empty() && scenario.invalid.is_empty());
    let views = well.map(|(index, scenario)| CostView {
        id: id(index),
        title: scenario.title.clone(),
        sheet: sheet_view("", sheet(scenario, &rows(scenario), COST), class),
    });
    views.filter(|view| !view.sheet.heads.is_empty()).collect()
}

fn environment_rows(run: &Run) -> Vec<(&'static str, String)> {
    let environment = &run.environment;
    let core = |core: Option<u32>| core.map_or("not pinned".to_owned(), |core| core.to_string());
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    vec![
        ("started", known(&run.started)),
        ("command", known(&run.command)),
        ("commit", known(&environment.commit)),
        ("seed", run.seed.to_string()),
        ("processor", known(&environment.cpu)),
        ("cores", environment.cores.to_string()),
        ("memory", format!("{} MiB", environment.memory_mib)),
        ("kernel", known(&environment.kernel)),
        ("core of the proxies", core(environment.proxy_core)),
        ("core of load and upstream", core(environment.load_core)),
    ]
}
