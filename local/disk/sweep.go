package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep takes away what runs that died left under parent, DefaultParent if
// that is empty, and returns the rooms that it removed. A room is touched only
// if its lock is free and its owner is proved dead.
func Sweep(parent string) ([]string, error) {
	if parent == "" {
		parent = DefaultParent
	}
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	parent, err := filepath.EvalSymlinks(parent)
	if err != nil {
		return nil, err
	}
	rooms, err := filepath.Glob(filepath.Join(parent, roomPrefix+"*"))
	if err != nil {
		return nil, err
	}
	var swept []string
	var failed []error
	for _, dir := range rooms {
		done, err := sweep(dir)
		if err != nil {
			failed = append(failed, fmt.Errorf("sweeping %s: %w", dir, err))
		}
		if done {
			swept = append(swept, dir)
		}
	}
	return swept, errors.Join(failed...)
}

func sweep(dir string) (bool, error) {
	journal, err := os.OpenFile(filepath.Join(dir, journalName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return sweepEmpty(dir)
	}
	if err != nil {
		return false, err
	}
	defer journal.Close()
	if err := unix.Flock(int(journal.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // its owner lives, or another sweeps
	}
	if info, err := journal.Stat(); err == nil && info.Size() == 0 {
		return sweepEmpty(dir) // nobody has entered himself as the owner yet
	}
	entries, err := readJournal(journal)
	if err != nil {
		return false, err
	}
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	if owner := entries[0]; owner.BootID != boot {
		entries = entries[:1] // of another boot: those numbers are others' now
	} else if owner.lives() {
		return false, nil
	}
	if err := undo(dir, entries); err != nil {
		return false, err
	}
	return true, nil
}

// sweepEmpty removes a room that died before it had a journal, hence anything
// in it. A young one may be about to get it.
func sweepEmpty(dir string) (bool, error) {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		return false, nil
	}
	err = os.RemoveAll(dir)
	return err == nil, err
}
