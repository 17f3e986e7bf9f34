package report

import (
	"math"
	"slices"
)

// Median is the value in the middle, or between the two in the middle. There has to be
// one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Percentile is the smallest of the values that at least that share of them, from 0 to 1,
// is not above (the nearest rank). They are sorted, and there is one.
func Percentile[T any](sorted []T, share float64) T {
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
