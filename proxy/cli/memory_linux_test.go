package cli

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestMappingsOfFilesAreTold(t *testing.T) {
	for _, c := range []struct {
		line, file string
		ok, write  bool
	}{
		{"00400000-0128f000 r-xp 00000000 fe:00 10339351                           /opt/out rider (deleted)", "/opt/out rider (deleted)", true, false},
		{"0229c000-023fb000 rw-p 01e9c000 fe:00 10339351                           /opt/outrider", "/opt/outrider", true, true},
		{"7ffc58362000-7ffc58383000 rw-p 00000000 00:00 0                          [stack]", "", false, false},
		{"1183b7800000-1183b8000000 rw-p 00000000 00:00 0 ", "", false, false},
		{"", "", false, false},
	} {
		m, ok := parseMapping(c.line)
		if ok != c.ok || m.file != c.file || m.writable() != c.write {
			t.Errorf("%q: %+v, %v", c.line, m, ok)
		}
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
