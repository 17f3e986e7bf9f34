package store_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHolderThatLivesIsNotBuriedWithoutItsFile: somebody tidied the state directory, and
// removed an empty file. Whoever was started afterwards locked bytes of another one, took
// all who lived for dead, and spent refresh tokens that were being spent.
func TestHolderThatLivesIsNotBuriedWithoutItsFile(t *testing.T) {
	s := settings(t.TempDir())
	old := open(t, s)
	defer lock(t, old.Slot("a/b"))()
	if err := os.Remove(filepath.Join(s.Dir, "store.alive")); err != nil {
		t.Fatal(err)
	}
	young := open(t, s)
	defer lock(t, young.Slot("a/c"))()
	if buried, err := young.Slot("a/b").Bury(t.Context()); buried || err != nil {
		t.Errorf("the old one: buried %v, %v", buried, err)
	}
	if buried, err := old.Slot("a/c").Bury(t.Context()); buried || err != nil {
		t.Errorf("the young one: buried %v, %v", buried, err)
	}
}

// TestStoreThatIsClosedIsBuried, and one that is open in the same process is not.
func TestStoreThatIsClosedIsBuried(t *testing.T) {
	s := settings(t.TempDir())
	watching := open(t, s)
	if !watching.HasWitness() {
		t.Skip("this system has no witnesses")
	}
	holding := open(t, s)
	unlock := lock(t, holding.Slot("a/b"))
	if buried, err := watching.Slot("a/b").Bury(t.Context()); buried || err != nil {
		t.Errorf("while it is open: buried %v, %v", buried, err)
	}
	if err := holding.Close(); err != nil {
		t.Fatal(err)
	}
	if buried, err := watching.Slot("a/b").Bury(t.Context()); !buried || err != nil {
		t.Errorf("after it was closed: buried %v, %v", buried, err)
	}
	unlock()
}
