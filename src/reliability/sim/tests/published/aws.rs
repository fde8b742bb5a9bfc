//! The adaptive mode of the AWS SDKs: a sending rate that falls by 0.7 when throttled and rises along a cubic curve.

/// CUBIC over a rate. All times are seconds.
#[derive(Default)]
struct Cubic {
    /// The rate that was too high.
    last_max: f64,
    throttled_at: f64,
}

impl Cubic {
    const BETA: f64 = 0.7;
    const SCALE: f64 = 0.4;

    /// The rate after a success: back at `last_max` after a time that depends on it, and then beyond.
    fn success(&self, now: f64) -> f64 {
        let way_back = (self.last_max * (1.0 - Self::BETA) / Self::SCALE).cbrt();
        Self::SCALE * (now - self.throttled_at - way_back).powi(3) + self.last_max
    }

    /// The rate after a throttle. The series that is published measures itself at the lowered rate.
    fn throttled(&mut self, rate: f64, now: f64) -> f64 {
        *self = Cubic { last_max: rate * Self::BETA, throttled_at: now };
        self.last_max
    }
}

#[test]
fn b9_the_rate_of_aws_rises_along_the_published_curve() {
    let cubic = Cubic { last_max: 10.0, throttled_at: 5.0 };
    let published = [
        7.0,
        9.64893600966,
        10.000030849917364,
        10.453284520772092,
        13.408697022224185,
        21.26626835427364,
        36.425998516920465,
    ];
    for (second, expected) in (5u32..).zip(published) {
        let rate = cubic.success(f64::from(second));
        assert!((rate - expected).abs() <= 1e-6, "t = {second}: {rate} instead of {expected}");
    }
}

#[test]
fn b10_the_rate_of_aws_falls_with_each_throttle_and_rises_from_there() {
    let mut cubic = Cubic { last_max: 10.0, throttled_at: 5.0 };
    // From t = 5 on: whether it was throttled, and the rate.
    let published = [
        (false, 7.0),
        (false, 9.649),
        (true, 6.754255206761999),
        (true, 4.727978644733399),
        (false, 4.670125557970046),
        (false, 4.770870456867401),
        (false, 6.011819748005445),
        (false, 10.792973431384178),
    ];
    let mut rate = 0.0;
    for (second, (throttled, expected)) in (5u32..).zip(published) {
        let now = f64::from(second);
        rate = if throttled { cubic.throttled(rate, now) } else { cubic.success(now) };
        assert!((rate - expected).abs() <= 1e-3, "t = {second}: {rate} instead of {expected}");
    }
}
