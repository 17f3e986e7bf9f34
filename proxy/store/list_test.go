package store_test

import (
	"fmt"
	"slices"
	"testing"

	"outrider/proxy/store"
)

// The order is that of bytes, whatever the language of a database is.
func TestSlotsBelowAPrefixComeInPages(t *testing.T) {
	onEach(t, func(t *testing.T, settings store.Settings) {
		s := open(t, settings)
		for _, id := range []string{"c/a", "c/a/2", "c/a/10", "c/a/1", "c/a/~", "c/a/B", "c/a/b", "c/a0", "c/b/1", "a"} {
			save(t, s, id, "x")
		}
		var pages []string
		for after := ""; ; {
			ids, err := s.ListBelow(t.Context(), "c/a/", after, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(ids) == 0 {
				break
			}
			pages, after = append(pages, fmt.Sprint(ids)), ids[len(ids)-1]
		}
		if want := []string{"[c/a/1 c/a/10 c/a/2]", "[c/a/B c/a/b c/a/~]"}; !slices.Equal(pages, want) {
			t.Errorf("pages %q, want %q", pages, want)
		}
		if all, err := s.ListBelow(t.Context(), "", "", 100); err != nil || len(all) != 10 {
			t.Errorf("%d slots, %v", len(all), err)
		}
	})
}
