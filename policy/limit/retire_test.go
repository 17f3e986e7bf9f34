package limit

import (
	"testing"
	"time"
)

// Between the look at the map and the entry the dispatcher may be dropped. Who
// would stay with it had a quota of his own.
func TestNobodyEntersADroppedDispatcher(t *testing.T) {
	g, err := New(Settings{Count: 1, Per: time.Hour, Window: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := g.quotas.get("key")
	if !d.retire(time.Now()) {
		t.Error("an idle one is kept")
	}
	if _, err := d.enter(t.Context()); err != errRetired {
		t.Errorf("entered: %v", err)
	}
	g.quotas.byKey = map[string]*dispatcher{}
	if _, err := g.enter(t.Context(), "key"); err != nil {
		t.Errorf("no other one: %v", err)
	}
	if g.quotas.get("key").retire(time.Now()) {
		t.Error("one with a call on its way is dropped")
	}
}
