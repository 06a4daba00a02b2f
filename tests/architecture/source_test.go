// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/fairlead-dev/fairlead/"

// sourceFile is one Go file of the repository.
type sourceFile struct {
	path      string // from the repository's root, with slashes
	folder    string
	text      string
	syntax    *ast.File
	generated bool
	test      bool
}

// imports returns the folders of this repository that the file imports.
func (f sourceFile) imports() []string {
	var folders []string
	for _, spec := range f.syntax.Imports {
		if folder, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ours {
			folders = append(folders, folder)
		}
	}
	return folders
}

// readSources parses every Go file of the repository, also those for other systems.
func readSources(t *testing.T) []sourceFile {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []sourceFile
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "bin" || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, sourceFile{
			path: name, folder: path.Dir(name), text: string(text), syntax: syntax,
			generated: ast.IsGenerated(syntax), test: strings.HasSuffix(name, "_test.go"),
		})
		return nil
	})
	if err != nil {
		t.Fatalf("read the repository's sources: %v", err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: this test looks in the wrong place", len(files))
	}
	return files
}

// within reports whether folder is parent or lies below it.
func within(folder, parent string) bool {
	return folder == parent || strings.HasPrefix(folder, parent+"/")
}
