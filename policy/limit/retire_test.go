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
	if _, _, err := d.try(1); err != errRetired {
		t.Errorf("it gives turns: %v", err)
	}
	if err := d.join(&waiter{}); err != errRetired {
		t.Errorf("it has a line: %v", err)
	}
	g.quotas.byKey = map[string]*dispatcher{}
	p := passage{cost: 1, stops: []stop{{group: g, key: "key", d: d}}}
	if err := p.enter(t.Context()); err != nil {
		t.Errorf("no other one: %v", err)
	}
	if g.quotas.get("key").retire(time.Now()) {
		t.Error("one with a call on its way is dropped")
	}
}
