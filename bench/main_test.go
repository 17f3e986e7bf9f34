package main

import (
	"io"
	"slices"
	"testing"
	"time"

	"outrider/bench/report"
)

func TestEverythingIsMeasuredByDefault(t *testing.T) {
	got, err := parse(nil, io.Discard)
	if err != nil || len(got.groups) != len(groups) || got.rounds != 3 || got.sample != 2*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestGroupsAreChosen(t *testing.T) {
	got, err := parse([]string{"-only", "start,cpu", "-smoke"}, io.Discard)
	if err != nil || len(got.groups) != 2 || got.groups[0].name != "start" || got.groups[1].name != "cpu" || got.rounds != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, args := range [][]string{{"-only", "speed"}, {"cpu"}, {"-rounds", "0"}, {"-sample", "20ms"}, {"-with", "outriderr"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestRoundsGoThereAndBack(t *testing.T) {
	all := []string{"a", "b", "c"}
	for round, want := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"a", "b", "c"}} {
		if got := turns(all, round); !slices.Equal(got, want) {
			t.Errorf("round %d: %v, want %v", round, got, want)
		}
	}
}

// TestTargetsAreOfGroups: one of a group that there is not would never be judged.
func TestTargetsAreOfGroups(t *testing.T) {
	for _, target := range targets {
		if !slices.Contains(groupNames(), target.Group) {
			t.Errorf("%q is of the group %q, which there is not", target.Words, target.Group)
		}
	}
}

func TestTablesTellOfNoise(t *testing.T) {
	var quiet, noisy report.Table
	for _, used := range []float64{0.1, 0.9, 0.1} {
		quiet.Add("ours", columnForeign, used)
		noisy.Add("ours", columnForeign, used+0.1)
	}
	tellNoise(&quiet)
	tellNoise(&noisy)
	if len(quiet.Notes) != 0 || len(noisy.Notes) != 1 {
		t.Errorf("the notes are %q and %q", quiet.Notes, noisy.Notes)
	}
}
