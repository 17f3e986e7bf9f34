//go:build !linux

package store

import (
	"errors"
	"os"
)

func lockByte(*os.File, int64) (inode uint64, err error) { return 0, errors.ErrUnsupported }

func byteIsFree(*os.File, int64) bool { return false }
