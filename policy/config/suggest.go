package config

import (
	"slices"
	"strings"
)

// unknown reports a key that its table does not have, and what was meant: the
// key of another table, or one of this table that is spelled much the same.
func (n node) unknown(here []string) {
	key := n.path[strings.LastIndexByte(n.path, '.')+1:]
	hint := elsewhere(key, n.log.known)
	if hint == "" {
		hint = Suggestion(key, here)
	}
	if hint == "" {
		hint = "; known here: " + strings.Join(here, ", ")
	}
	n.deny("unknown key" + hint)
}

// Suggestion names the closest of the known words, if one is close, as the end of a sentence
// that refuses a word: `; did you mean "attempts"?`.
func Suggestion(word string, known []string) string {
	best, distance := "", 1+max(1, len(word)/3)
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(word), candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// elsewhere names the tables that do have the key.
func elsewhere(key string, known []string) string {
	var tables []string
	for _, path := range known {
		table, last := "", path
		if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
			table, last = path[:dot], path[dot+1:]
		}
		if last != key || strings.Contains(table, ".rule.") {
			continue
		}
		if table == "" {
			return "; it belongs at the top of the document, above the first [table]"
		}
		tables = append(tables, "["+table+"]")
	}
	if len(tables) == 0 || len(tables) > 3 {
		return ""
	}
	return "; it belongs in " + strings.Join(tables, " or ")
}

// editDistance counts the letters to insert, drop, change or swap with their
// neighbour to get from a to b (optimal string alignment). Words that are much
// longer than any key are told apart by length alone.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = slices.Min([]int{rows[i-1][j] + 1, rows[i][j-1] + 1, change})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
