//! Least squares for a handful of unknowns, by sweeping the normal equations (Goodnight, "A Tutorial
//! on the SWEEP Operator", The American Statistician 33, 1979). What the data cannot tell apart is
//! left out rather than guessed.

/// A column whose part that is its own is smaller than this, as a share of it, follows from the
/// columns before it.
const OWN_SHARE_MIN: f64 = 1e-9;

/// What a column of the model contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coefficient {
    /// The estimate.
    pub value: f64,
    /// Its variance where that of one observation is 1.
    pub variance: f64,
}

/// Fits `observed` to the columns of `rows`, each row one observation's; `None` for a column that
/// follows from those before it, or that is zero everywhere.
pub(crate) fn least_squares(rows: &[Vec<f64>], observed: &[f64]) -> Vec<Option<Coefficient>> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut matrix = normal_equations(rows, observed, columns);
    let mut is_known = vec![false; columns];
    for pivot in 0..columns {
        let whole: f64 = rows.iter().map(|row| row[pivot] * row[pivot]).sum();
        if matrix[pivot][pivot] > OWN_SHARE_MIN * whole {
            sweep(&mut matrix, pivot);
            is_known[pivot] = true;
        }
    }
    (0..columns)
        .map(|column| {
            is_known[column].then(|| Coefficient {
                value: matrix[column][columns],
                variance: matrix[column][column],
            })
        })
        .collect()
}

/// The products of all columns with each other and, last, with what was observed.
fn normal_equations(rows: &[Vec<f64>], observed: &[f64], columns: usize) -> Vec<Vec<f64>> {
    let mut matrix = vec![vec![0.0; columns + 1]; columns];
    for (row, value) in rows.iter().zip(observed) {
        for (line, left) in matrix.iter_mut().zip(row) {
            for (cell, right) in line.iter_mut().zip(row.iter().chain([value])) {
                *cell += left * right;
            }
        }
    }
    matrix
}

/// Solves for one column: afterwards its place on the diagonal holds the inverse's.
fn sweep(matrix: &mut [Vec<f64>], pivot: usize) {
    let own = matrix[pivot][pivot];
    let pivot_line: Vec<f64> = matrix[pivot].iter().map(|cell| cell / own).collect();
    for (index, line) in matrix.iter_mut().enumerate() {
        if index == pivot {
            line.copy_from_slice(&pivot_line);
            line[pivot] = 1.0 / own;
            continue;
        }
        let factor = line[pivot];
        for (cell, of_pivot) in line.iter_mut().zip(&pivot_line) {
            *cell -= factor * of_pivot;
        }
        line[pivot] = -factor / own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    /// Draper and Smith's way by hand: y = 1 + 2x + noise that sums to nothing against both columns.
    #[test]
    fn a_line_is_found_with_its_variances() {
        let rows: Vec<Vec<f64>> = (0..5).map(|x| vec![1.0, f64::from(x)]).collect();
        let residuals = [1.0, -2.0, 1.0, 0.0, 0.0];
        let along: f64 = residuals.iter().zip(0..).map(|(r, x)| r * f64::from(x)).sum();
        assert!(close(along, 0.0) && close(residuals.iter().sum(), 0.0));
        let observed: Vec<f64> =
            (0..5).zip(residuals).map(|(x, r)| 1.0 + 2.0 * f64::from(x) + r).collect();
        let found = least_squares(&rows, &observed);
        let [Some(offset), Some(slope)] = found[..] else { panic!("{found:?}") };
        assert!(close(offset.value, 1.0) && close(slope.value, 2.0), "{found:?}");
        // Of a line through 0 to 4: 1/n + mean² / Sxx and 1 / Sxx, with Sxx = 10.
        assert!(
            close(offset.variance, 0.2 + 4.0 / 10.0) && close(slope.variance, 0.1),
            "{found:?}"
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_out() {
        let rows =
            vec![vec![1.0, 0.0, 0.0, 0.0], vec![1.0, 1.0, 1.0, 0.0], vec![1.0, 0.0, 0.0, 0.0]];
        let found = least_squares(&rows, &[3.0, 5.0, 3.0]);
        assert!(found[0].is_some_and(|c| close(c.value, 3.0)), "{found:?}");
        assert!(found[1].is_some_and(|c| close(c.value, 2.0)), "{found:?}");
        assert_eq!(found[2..], [None, None]);
        assert_eq!(least_squares(&[], &[]), []);
    }
}
