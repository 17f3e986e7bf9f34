//go:build !linux

package store

import (
	"errors"
	"os"
)

func lockByte(*os.File, int64) error { return errors.ErrUnsupported }

func byteIsFree(*os.File, int64) bool { return false }
