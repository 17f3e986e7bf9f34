package report_test

import (
	"strings"
	"testing"

	"outrider/bench/report"
)

func TestTableHasMediansAndTheirSpread(t *testing.T) {
	table := report.Table{Title: "Costs", Head: "proxy", Columns: []report.Column{{Name: "µs", Digits: 1}, {Name: "calls/s"}, {Name: "spans"}}}
	for _, value := range []float64{30, 10.04, 20} {
		table.Add("ours", "µs", value)
	}
	table.Add("ours", "calls/s", 1234567)
	table.Add("theirs", "µs", 999.96)
	table.Note("%d rounds.", 3)
	var got strings.Builder
	table.Write(&got)
	const want = `### Costs

| proxy | µs | calls/s | spans |
|---|---:|---:|---:|
| ours | 20.0 (10.0–30.0) | 1,234,567 | – |
| theirs | 1,000.0 | – | – |

3 rounds.

`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}
