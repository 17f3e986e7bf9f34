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

// A page of letters asks for each of them which dead one it waits behind, with as many of its
// order key as there may be.
func TestDeadLetterOfAnOrderKeyIsFoundInAnIndex(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		for n := range 20 {
			keep(t, opened.Outbox(), ordered(fmt.Sprint(n), "key"), "")
		}
		plan, err := opened.WayOf(t.Context(), store.SearchBehind, "1", "2")
		must(t, err)
		if !regexp.MustCompile(`(Index Cond: .*ordered.*|INDEX outrider_letters_order .*)\bseq ?<`).MatchString(plan) {
			t.Errorf("the index of order keys is not searched, but so:\n%s", plan)
		}
	})
}
