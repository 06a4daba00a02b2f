// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// filesEvent is the event of the window toolkit that the page asks for a file by, and filesAnswer the one in the page that it is
// answered by (frontend/src/api/window.ts).
const (
	filesEvent  = "fairlead:files"
	filesAnswer = "fairlead:files"
)

// maxFileName bounds the name that a file is suggested to have, in bytes (limits.h: NAME_MAX).
const maxFileName = 255

// dialogs are the desktop's own. What they return is empty if the user has cancelled.
type dialogs interface {
	// choose lets the user choose files that are there; it returns their whole paths.
	choose(title string) ([]string, error)
	// save lets the user choose where a file is to be; it asks before another one is replaced.
	save(title, name string) (string, error)
}

// fileRequest is what the page asks for. The user decides on every path, and sees a dialog for each.
type fileRequest struct {
	ID      string `json:"id"`                // names the answer
	Do      string `json:"do"`                // choose or save
	Title   string `json:"title"`             // of the dialog
	Name    string `json:"name,omitempty"`    // that a saved file is suggested to have
	Content []byte `json:"content,omitempty"` // of a saved file
}

// fileResponse is what came of it: no paths if the user has cancelled.
type fileResponse struct {
	ID    string   `json:"id"`
	Paths []string `json:"paths"`
	Error string   `json:"error,omitempty"`
}

// parseFileRequest reads what the page has sent with the event: one text.
func parseFileRequest(data []any) (fileRequest, error) {
	var r fileRequest
	if len(data) != 1 {
		return r, fmt.Errorf("a request for a file has %d parts, not one", len(data))
	}
	text, ok := data[0].(string)
	if !ok {
		return r, fmt.Errorf("a request for a file is a text, not %T", data[0])
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("read a request for a file: %w", err)
	}
	return r, nil
}

// perform shows the dialog, and does what it is for.
func (r fileRequest) perform(d dialogs) fileResponse {
	response := fileResponse{ID: r.ID, Paths: []string{}}
	paths, err := r.run(d)
	if err != nil {
		response.Error = err.Error()
	} else {
		response.Paths = append(response.Paths, paths...)
	}
	return response
}

func (r fileRequest) run(d dialogs) ([]string, error) {
	switch r.Do {
	case "choose":
		return d.choose(r.Title)
	case "save":
		path, err := d.save(r.Title, plainName(r.Name))
		if err != nil || path == "" {
			return nil, err
		}
		// What is saved may have secrets in it: a new file is for the user alone.
		if err := os.WriteFile(path, r.Content, 0o600); err != nil {
			return nil, fmt.Errorf("save the file: %w", err)
		}
		return []string{path}, nil
	}
	return nil, fmt.Errorf("the window can't do %.40q with files", r.Do)
}

// plainName is a name without a folder, whatever was asked for.
func plainName(name string) string {
	name = filepath.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == ".." || name == "/" || len(name) > maxFileName {
		return ""
	}
	return name
}

// script hands the response to the page.
func (r fileResponse) script() string {
	detail, _ := json.Marshal(r)
	name, _ := json.Marshal(filesAnswer)
	return fmt.Sprintf("dispatchEvent(new CustomEvent(%s, {detail: %s}))", name, detail)
}
