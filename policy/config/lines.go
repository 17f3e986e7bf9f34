package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A lineIndex says where the keys of a document stand: key path → line.
type lineIndex map[string]int

// of is the line of a key, or of the closest table around it that is written;
// 0 if there is none.
func (index lineIndex) of(path string) int {
	for path != "" {
		if line, ok := index[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// indexLines finds the lines of keys. The TOML library knows the keys in their
// order but not their places; a scanner knows the places but not the names.
// Where the two disagree about the number, there are no lines.
func indexLines(s *scanner, keys []toml.Key) lineIndex {
	if len(s.found) != len(keys) {
		return nil
	}
	index := lineIndex{}
	count := map[string]int{} // path of a list of tables → how many there were so far
	for i, key := range keys {
		path := ""
		for j := range key {
			path = join(path, key[j])
			if j == len(key)-1 && s.found[i].listed {
				index.note(path, s.found[i].line)
				count[path]++
			}
			if n := count[path]; n > 0 {
				path += "[" + strconv.Itoa(n-1) + "]"
			}
			index.note(path, s.found[i].line)
		}
	}
	return index
}

// note keeps the first line of a path: a table is where its first key is.
func (index lineIndex) note(path string, line int) {
	if _, ok := index[path]; !ok {
		index[path] = line
	}
}
