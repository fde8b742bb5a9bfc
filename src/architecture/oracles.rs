//! Test only: every row of `reliability/oracles.md` is a test, and every test named after a row is in that table.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    /// How many rows each chapter of the published table has.
    const CHAPTERS: [(char, u32); 10] =
        [('B', 14), ('S', 8), ('J', 4), ('C', 9), ('W', 5), ('T', 4), ('L', 5), ('P', 6), ('D', 3), ('V', 4)];

    /// Rows that no test can be.
    const BY_HAND: [&str; 1] = ["S8"];

    /// Names of test functions in the core.
    fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                tests_below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(tests_in(&fs::read_to_string(&path).expect("a source")));
            }
        }
    }

    fn tests_in(text: &str) -> Vec<String> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let marked = lines.windows(2).filter(|pair| pair[0] == "#[test]");
        marked.filter_map(|pair| Some(pair[1].strip_prefix("fn ")?.split_once('(')?.0.to_owned())).collect()
    }

    /// Row and its tests.
    fn index(text: &str) -> BTreeMap<&str, Vec<&str>> {
        let rows = text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let (row, tests) = (cells.next()?, cells.nth(1)?);
            let is_row = row.starts_with(|c: char| c.is_ascii_uppercase());
            let tests = tests.split(',').filter_map(|test| test.trim().strip_prefix('`')?.strip_suffix('`'));
            is_row.then(|| (row, tests.collect()))
        });
        rows.collect()
    }

    /// The rows that a test is named after: `v1_v2_the_bounds_hold`.
    fn rows_of(test: &str) -> impl Iterator<Item = String> {
        let is_row = |word: &&str| {
            let (chapter, number) = word.split_at(1.min(word.len()));
            CHAPTERS.iter().any(|(letter, rows)| {
                chapter == letter.to_ascii_lowercase().to_string()
                    && number.parse::<u32>().is_ok_and(|number| (1..=*rows).contains(&number))
            })
        };
        test.split('_').take_while(is_row).map(str::to_ascii_uppercase).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn every_row_of_the_oracles_is_a_test() {
        let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reliability");
        let text = fs::read_to_string(core.join("oracles.md")).expect("reliability/oracles.md");
        let index = index(&text);
        let rows = CHAPTERS.iter().flat_map(|(chapter, rows)| (1..=*rows).map(move |row| format!("{chapter}{row}")));
        assert_eq!(index.keys().map(|row| (*row).to_owned()).collect::<BTreeSet<_>>(), rows.collect(), "rows");
        let mut tests = BTreeSet::new();
        tests_below(&core, &mut tests);
        assert!(tests.len() > 200, "the tests were not found");
        for (row, named) in &index {
            assert_eq!(named.is_empty(), BY_HAND.contains(row), "{row}: {named:?}");
            for test in named {
                assert!(tests.contains(*test), "{row} names {test}, and no test of the core has that name");
            }
        }
        for test in &tests {
            for row in rows_of(test) {
                assert!(index[row.as_str()].contains(&test.as_str()), "{test} is not in the index under {row}");
            }
        }
    }

    #[test]
    fn a_name_says_which_rows_it_is_of() {
        assert_eq!(rows_of("v1_v2_v3_the_published_verdicts_hold").collect::<Vec<_>>(), ["V1", "V2", "V3"]);
        assert_eq!(rows_of("b14_chains").collect::<Vec<_>>(), ["B14"]);
        for other in ["a_test", "b15_is_no_row", "the_b1", "h2_is_a_protocol"] {
            assert_eq!(rows_of(other).count(), 0, "{other}");
        }
        assert_eq!(tests_in("#[test]\n    fn one_two() {}\nfn three() {}"), ["one_two"]);
    }
}
