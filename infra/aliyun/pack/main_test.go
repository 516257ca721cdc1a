package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "main")
	want := bytes.Repeat([]byte("program "), 1000)
	if err := os.WriteFile(program, want, 0o600); err != nil {
		t.Fatal(err)
	}
	var archives [][]byte
	for _, name := range []string{"a.zip", "b.zip"} {
		if err := pack(filepath.Join(dir, name), program); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, text)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of one program differ")
	}
	z, err := zip.OpenReader(filepath.Join(dir, "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	if len(z.File) != 1 || z.File[0].Name != "main" || z.File[0].Mode().Perm() != 0o755 {
		t.Fatalf("got %v of mode %v", z.File[0].Name, z.File[0].Mode())
	}
	in, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := pack(filepath.Join(dir, "c.zip"), filepath.Join(dir, "absent")); err == nil {
		t.Error("packed a program that is not there")
	}
}
