// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"net/http"
)

// maxReturnBody bounds what a page says to come back, in bytes; a key and a signature take 200.
const maxReturnBody = 4096

// coming is what a page says. Bytes are in base64.
type coming struct {
	Key       []byte `json:"key"`
	Challenge string `json:"challenge"`
	Signature []byte `json:"signature"`
}

// remember lets the page of a visit come back to a later daemon.
func (s *Server) remember(w http.ResponseWriter, r *http.Request, v visit) {
	in, ok := readComing(w, r)
	if !ok {
		return
	}
	if err := s.returns.remember(in.Key, v.shell); err != nil {
		s.config.Log.Warn("an open page would not find its way back", "error", err)
		http.Error(w, "This page can't be kept for a later start.", http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// challenge says what a page must sign.
func (s *Server) challenge(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]string{"challenge": s.returns.challenge()})
}

// comeBack makes a visit of a page that was open when an earlier daemon ended.
func (s *Server) comeBack(w http.ResponseWriter, r *http.Request) {
	in, ok := readComing(w, r)
	if !ok {
		return
	}
	shell, ok := s.returns.answer(in.Key, in.Challenge, in.Signature)
	if !ok {
		http.Error(w, "This page is not known. Run 'fairlead open' for a new address.", http.StatusForbidden)
		return
	}
	s.config.Log.Info("an open page has come back")
	writeJSON(w, map[string]string{"page": letIn(w, s.doors.admit(shell))})
}

func readComing(w http.ResponseWriter, r *http.Request) (coming, bool) {
	var in coming
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReturnBody)).Decode(&in); err != nil {
		http.Error(w, "This is not what a page says to come back.", http.StatusBadRequest)
		return coming{}, false
	}
	return in, true
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
