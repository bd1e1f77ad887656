// Package conformance holds a backend to the contract of package backend. A backend's own test calls it once:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, device, mine.Backend{})
//	}
//
// Every stage that the backend implements is run on fresh random operands, made on the host and moved to the device, and
// its results are compared on the host with an oracle in float64. The seed is logged; the environment variable MOE_SEED
// repeats a run.
//
// What each call of a stage must satisfy, beside its numbers:
//   - Destinations are written completely, and the same operands give the same bits: each case runs twice, on destinations
//     that hold NaN the first time and a finite pattern the second.
//   - Sources stay as they were, and no byte around a source or a destination changes (the latter is seen on the host only;
//     there the memory around a source also holds NaN, so that reading beyond it shows).
//   - What a stage cannot compute is an error that wraps a sentinel of package backend; a stage that declines with
//     backend.ErrUnsupported has written nothing.
//
// A case that a backend declines counts as not covered; the log says how many of each stage did. Options.Require makes
// that a failure. A stage that a backend has and for which it takes no operands at all is one too.
//
// # How close is close enough
//
// No case has a tolerance of its own. Each oracle computes, beside a result, how far rounding can move it: a function of
// the dtypes, of the number of terms and of the magnitudes of the terms, derived in bounds.go. A result outside is wrong,
// not unlucky, whatever the seed.
package conformance
