package cli

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMappingsOfFilesAreTold(t *testing.T) {
	for _, c := range []struct {
		line, file string
		ok         bool
	}{
		{"00400000-0128f000 r-xp 00000000 fe:00 10339351                           /opt/out rider (deleted)", "/opt/out rider (deleted)", true},
		{"0229c000-023fb000 rw-p 01e9c000 fe:00 10339351                           /opt/outrider", "/opt/outrider", true},
		{"7ffc58362000-7ffc58383000 rw-p 00000000 00:00 0                          [stack]", "", false},
		{"1183b7800000-1183b8000000 rw-p 00000000 00:00 0 ", "", false},
		{"Rss:                  24 kB", "", false},
		{"", "", false},
	} {
		if m, ok := parseMapping(c.line); ok != c.ok || m.file != c.file {
			t.Errorf("%q: %+v, %v", c.line, m, ok)
		}
	}
}

// A program that was built with -buildmode=pie died a second after its start: its addresses
// had been put into data that was read-only by then, and the file does not have them.
func TestPagesThatTheFileDoesNotHaveAreLeftAlone(t *testing.T) {
	const smaps = `55d0a0000000-55d0a1000000 r-xp 00000000 fe:00 247278                     /opt/outrider
Rss:                  24 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
55d0a1000000-55d0a2000000 r--p 01000000 fe:00 247278                     /opt/outrider
Anonymous:          1204 kB
Swap:                  0 kB
55d0a2000000-55d0a2100000 r--p 02000000 fe:00 247278                     /opt/outrider
Anonymous:             0 kB
Swap:                  4 kB
55d0a2100000-55d0a2200000 rw-p 02100000 fe:00 247278                     /opt/outrider
Anonymous:             0 kB
Swap:                  0 kB
55d0a2200000-55d0a2300000 r--p 02200000 fe:00 247278                     /opt/outrider
Anonymous:             0 kB
Swap:                  0 kB
2be11f000000-2be11f400000 rw-p 00000000 00:00 0                          [anon: Go: heap]
Anonymous:          2048 kB
Swap:                  8 kB
`
	var asInFile []bool
	for _, m := range readMappings(strings.NewReader(smaps)) {
		asInFile = append(asInFile, m.asInFile())
	}
	if want := []bool{true, false, false, false, true}; !slices.Equal(asInFile, want) {
		t.Errorf("to be had from the file again: %v, want %v", asInFile, want)
	}
}

// The program goes on after its pages were given back, and they were.
func TestProgramIsReleased(t *testing.T) {
	before := mappedOfFiles(t)
	releaseProgram()
	if after := mappedOfFiles(t); after >= before {
		t.Errorf("%d KiB of files were mapped, and %d are", before, after)
	}
}

// mappedOfFiles is how much of files is in memory, in KiB.
func mappedOfFiles(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	size, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return size
}
