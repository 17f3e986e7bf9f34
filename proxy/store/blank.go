package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// pageSize is that of a new file, in bytes: SQLite's own default.
const pageSize = 4096

// blank is a database of ours without a table (https://sqlite.org/fileformat.html). A new file
// is that before it has its name, and never empty: so one that is empty was emptied.
func blank() []byte {
	page := make([]byte, pageSize)
	copy(page, "SQLite format 3\x00")
	put := binary.BigEndian.PutUint32
	binary.BigEndian.PutUint16(page[16:], pageSize)
	copy(page[18:], []byte{1, 1, 0, 64, 32, 32}) // no log yet; fractions that are fixed
	put(page[24:], 1)                            // changes
	put(page[28:], 1)                            // pages
	put(page[44:], 4)                            // format of the schema
	put(page[56:], 1)                            // UTF-8
	put(page[68:], application)
	put(page[92:], 1)       // the change with which the number of pages is right
	put(page[96:], 3040000) // a version of SQLite that writes so
	page[100] = 13          // the table of tables: a leaf without cells
	binary.BigEndian.PutUint16(page[105:], pageSize)
	return page
}

// emptied refuses an empty file where there was a store: the key and the witness are made when
// the file has something. Without them it may be one that an earlier version was about to make.
func emptied(path string) error {
	for _, name := range []string{keyFileName, witnessName} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Size() == 0 { // only now: both are made beside us
			return fmt.Errorf("%s: it is empty, and beside it is the %s of a store: it is damaged: put a copy back, or move it away (with its -wal and -shm) to start without what it kept", path, name)
		}
	}
	return nil
}
