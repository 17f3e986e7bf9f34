package config

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"outrider/policy/quota"
)

// What an answer can mean: those of package answer.
var meanings = []string{"exhausted", "throttled", "busy", "refused", "fault", "failed", "partial"}

var answerKeys = table[Answer]{
	calls("match"),
	statuses("status"),
	text("field", func(a *Answer) *string { return &a.Field }, fieldPath),
	text("header", func(a *Answer) *string { return &a.Header }, headerName),
	flag("graphql", func(a *Answer) *bool { return &a.GraphQL }),
	list("values", func(a *Answer) *[]string { return &a.Values }, readText, notEmpty),
	list("contains", func(a *Answer) *[]string { return &a.Contains }, readText, notEmpty),
	integer("at_least", func(a *Answer) *int { return &a.AtLeast }, between(1, largest)),
	text("unless", func(a *Answer) *string { return &a.Unless }, fieldPath),
	text("means", func(a *Answer) *string { return &a.Means }, oneOf(meanings...)),
	duration("wait", func(a *Answer) *time.Duration { return &a.Wait }),
}

// dialects are what a limit's dialect can be.
func dialects() []string { return append([]string{"auto"}, quota.Names()...) }

// answers reads a list of tables, and puts them in front of what was there: those of a
// rule before its upstream's, as the first that fits counts. An empty list takes all away.
func answers(key string) field[Policy] {
	return field[Policy]{key, func(n node, p *Policy) {
		tables := n.tables()
		if list, listed := n.raw.([]any); tables == nil && (!listed || len(list) > 0) {
			n.failf("must be a list of tables: [[%s]]", n.path)
			return
		}
		if tables == nil {
			p.Answers = nil
			return
		}
		all := make([]Answer, 0, len(tables)+len(p.Answers))
		for _, table := range tables {
			all = append(all, readAnswer(table))
		}
		p.Answers = append(all, p.Answers...)
	}, answerKeys.paths()}
}

func readAnswer(n node) Answer {
	var a Answer
	answerKeys.read(n, &a)
	if _, ok := n.raw.(map[string]any); !ok {
		return a
	}
	if n.soundBelow() {
		answerAgrees(n, a)
	}
	if !n.has("status") {
		n.child("status").deny("is missing: of which answers? Such as 429, or [403, 429]")
	}
	if !n.has("means") {
		n.child("means").deny("is missing: one of " + strings.Join(meanings, ", "))
	}
	return a
}

// answerAgrees reports what does not go together.
func answerAgrees(n node, a Answer) {
	places := 0
	for _, named := range []bool{a.Field != "", a.Header != "", a.GraphQL} {
		if named {
			places++
		}
	}
	words := len(a.Values) + len(a.Contains)
	last := a.Field[strings.LastIndexByte(a.Field, '.')+1:]
	switch {
	case places != 1:
		n.fail(`needs one of field (such as "error.code"), header and graphql = true: where does the answer say it?`)
	case len(a.Values) > 0 && len(a.Contains) > 0:
		n.child("contains").fail("does not stand beside values: write a second table")
	case a.AtLeast > 0 && words > 0:
		n.child("at_least").fail("does not stand beside values or contains: write a second table")
	case a.Field == "" && (a.AtLeast > 0 || a.Unless != ""):
		n.fail("at_least and unless belong to a field")
	case last == "*":
		n.child("field").fail(`must end with a name: "*" stands for any one before it`)
	case a.GraphQL && words > 0:
		n.fail("graphql takes neither values nor contains: it looks for THROTTLED")
	case a.Wait > 0 && a.Means != "throttled" && a.Means != "busy":
		n.child("wait").failf("does not belong to %s: nobody waits for it", a.Means)
	}
}

// calls reads which calls an answer is to.
func calls(key string) field[Answer] {
	return field[Answer]{key: key, read: func(n node, a *Answer) { a.Match, a.Calls = readMatch(n) }}
}

// statuses reads one status, or a list of them.
func statuses(key string) field[Answer] {
	answered := between(200, 599)
	listed := list(key, func(a *Answer) *[]int { return &a.Statuses }, readInt, answered)
	return field[Answer]{key: key, read: func(n node, a *Answer) {
		if _, one := n.raw.(int64); one {
			if status, ok := checked(n, readInt, []check[int]{answered}); ok {
				a.Statuses = []int{status}
			}
			return
		}
		if several, _ := n.raw.([]any); len(several) == 0 {
			n.fail("must be a status, such as 429, or a list of them")
			return
		}
		listed.read(n, a)
	}}
}

// fieldPath says what is wrong with a path into JSON.
func fieldPath(path string) string {
	if slices.Contains(strings.Split(path, "."), "") {
		return `must be names joined by dots, such as "error.code"`
	}
	return ""
}

// listPath says what is wrong with a path to a list in JSON.
func listPath(path string) string {
	if path == "." { // the body itself
		return ""
	}
	return fieldPath(path)
}

// answers are those that are written, and behind them those of the preset. What the
// preset prints, and somebody has pasted, is there once.
func (l layer) answers(n node) any {
	own := n.tables()
	if own == nil { // none, or wrong
		return n.raw
	}
	var all []any
	for _, table := range own {
		all = append(all, table.raw)
	}
	known, _ := l.Upstream["answer"].([]map[string]any)
	for _, table := range known {
		if slices.ContainsFunc(own, func(mine node) bool { return reflect.DeepEqual(mine.raw, any(table)) }) {
			continue
		}
		all = append(all, table)
		l.came(node{path: n.path, raw: all}.item(len(all)-1).path, table)
	}
	return all
}
