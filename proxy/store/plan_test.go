package store_test

import (
	"fmt"
	"regexp"
	"testing"

	"outrider/proxy/store"
)

// TestLettersAreFoundByTimeInAnIndex: PostgreSQL searches an index by nothing that may change
// from row to row, as its clock does. So it read all letters that wait for later each time
// that somebody asked what is due, and all that have ended for each sweep: half a second for
// some hundred thousands.
func TestLettersAreFoundByTimeInAnIndex(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		for n := range 20 {
			keep(t, opened.Outbox(), once(fmt.Sprint(n), fmt.Sprint(n)), "")
		}
		for _, search := range store.SearchesByTime {
			plan, err := opened.WayOf(t.Context(), search.Statement, search.Args...)
			must(t, err)
			if !regexp.MustCompile(`(Index Cond: .*|INDEX .*)\b` + search.Column + ` ?<`).MatchString(plan) {
				t.Errorf("the index is not searched by %s, but so:\n%s", search.Column, plan)
			}
		}
	})
}
