package commands

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cachectl/cachectl/commands/render"
)

// ready tells, before a command has worked for minutes, whether its answer could be printed: the columns are
// there, the jq expression compiles, the files can be written.
func (o *output) ready(ro render.Options, columns []render.Column, files ...string) error {
	if _, err := render.New(io.Discard, ro); err != nil {
		return err
	}
	if _, err := ro.Choose(columns); err != nil {
		return err
	}
	var all []error
	seen := make(map[string]bool)
	for _, path := range append(files, o.file) {
		if path == "" {
			continue
		}
		all = append(all, replaceable(path))
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // /dev/null takes anything
			continue
		}
		if path = filepath.Clean(path); seen[path] {
			all = append(all, usagef("%s is named twice: one answer would take the other's place", path))
		}
		seen[path] = true
	}
	return errors.Join(all...)
}

// replaceable tells whether replaceFile could begin.
func replaceable(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return usagef("%s is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return nil
	}
	f, err := createBeside(path, 0o600)
	var named *os.PathError
	if errors.As(err, &named) { // of a temporary name, which says nothing to anybody
		return fmt.Errorf("%s cannot be written: %w", path, named.Err)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
