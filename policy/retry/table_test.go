package retry_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"outrider/policy/retry"
)

// TestTable spells out every combination, so that no change of a row goes
// unseen.
func TestTable(t *testing.T) {
	type outcome struct {
		phase   retry.Phase
		verdict retry.Verdict
	}
	outcomes := []outcome{
		{retry.Unsent, ""}, {retry.NoAnswer, ""},
		{retry.Answered, retry.Listed}, {retry.Answered, retry.Asked},
		{retry.Answered, retry.Misdirected}, {retry.Answered, retry.Unprocessed},
		{retry.Answered, retry.Running}, {retry.Answered, retry.Reused},
		{retry.Answered, retry.Forbidden}, {retry.Answered, retry.Final},
	}
	const yes, no = true, false
	want := map[retry.Class][10]bool{ // class → may it be sent again, by outcome
		retry.Once:       {no, no, no, no, no, no, no, no, no, no},
		retry.Idempotent: {yes, yes, yes, yes, yes, yes, no, no, no, no},
		retry.Keyed:      {yes, yes, yes, yes, yes, yes, yes, no, no, no},
		retry.Vouched:    {yes, yes, yes, yes, yes, yes, no, no, no, no},
		retry.Unsafe:     {yes, no, no, no, yes, yes, no, no, no, no},
	}
	for class, row := range want {
		for i, o := range outcomes {
			got := retry.Lookup(class, o.phase, o.verdict)
			if got.Retry != row[i] || got.Why == "" {
				t.Errorf("%s, %s, %s: %+v, want %v", class, o.phase, o.verdict, got, row[i])
			}
		}
	}
	if row := retry.Lookup("new", "strange", ""); row.Retry {
		t.Errorf("what nobody knows is retried: %+v", row)
	}
}

func TestTableIsACopy(t *testing.T) {
	rows := retry.Table()
	for i := range rows {
		rows[i].Retry = true
	}
	if retry.Lookup(retry.Unsafe, retry.NoAnswer, "").Retry {
		t.Error("the table that decides was written to")
	}
}

// TestDocumentationShowsTheTable: docs/decisions.md has it row by row.
func TestDocumentationShowsTheTable(t *testing.T) {
	data, err := os.ReadFile("../../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| request | attempt | what the answer says | again | why |\n|---|---|---|---|---|\n")
	for _, row := range retry.Table() {
		again := "no"
		if row.Retry {
			again = "yes"
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s | %s |\n", orAny(row.Class), orAny(row.Phase), orAny(row.Verdict), again, row.Why)
	}
	if !strings.Contains(string(data), want.String()) {
		t.Errorf("docs/decisions.md does not have this table:\n%s", want.String())
	}
}

func orAny[S ~string](s S) string {
	if s == "" {
		return "any"
	}
	return string(s)
}
