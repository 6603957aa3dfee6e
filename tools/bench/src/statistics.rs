//! Statistics of several measurements.

use serde::Serialize;

/// A summary of a sample of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// The number of measurements.
    pub runs: usize,
    /// The smallest.
    pub min: f64,
    /// The lower quartile.
    pub lower_quartile: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub upper_quartile: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Statistics {
    /// Summarizes a sample; `None` for an empty one.
    #[must_use]
    pub fn of(sample: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = sample.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |share| quantile(&sorted, share);
        Some(Self {
            runs: sorted.len(),
            min,
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            p95: at(0.95),
            max,
        })
    }
}

/// Returns a quantile by linear interpolation (“type 7”). `sorted` must not be empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor(), position.ceil());
    // Both indexes lie within the sample.
    let (low, high) = (sorted[below as usize], sorted[above as usize]);
    low + (high - low) * (position - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_summed_up_whatever_its_order() {
        let statistics = Statistics::of([5.0, 1.0, 4.0, 2.0, 3.0]).expect("a sample");
        assert_eq!((statistics.runs, statistics.min, statistics.max), (5, 1.0, 5.0));
        assert_eq!(
            (statistics.lower_quartile, statistics.median, statistics.upper_quartile),
            (2.0, 3.0, 4.0)
        );
        assert!((statistics.p95 - 4.8).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_two_is_their_mean_and_of_none_is_none() {
        assert_eq!(Statistics::of([1.0, 2.0]).map(|statistics| statistics.median), Some(1.5));
        assert_eq!(Statistics::of([7.0]).map(|statistics| statistics.p95), Some(7.0));
        assert_eq!(Statistics::of([]), None);
    }
}
