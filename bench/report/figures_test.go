package report_test

import (
	"testing"

	"outrider/bench/report"
)

func TestMedianIsInTheMiddle(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := report.Median(test.values); got != test.want {
			t.Errorf("the median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for share, want := range map[float64]int{0: 1, 0.001: 1, 0.5: 50, 0.99: 99, 0.991: 100, 1: 100} {
		if got := report.Percentile(hundred, share); got != want {
			t.Errorf("percentile %v of 1 to 100 is %d, want %d", share, got, want)
		}
	}
}
