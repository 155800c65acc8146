package service

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"pyro/native/internal/beneath"
	"pyro/native/internal/file"
	"pyro/native/internal/mounts"
	"pyro/native/internal/process"
	"pyro/native/internal/tree"
	"pyro/native/internal/workload"
)

// codes says what each failure is called on the wire. The first that fits counts.
var codes = []struct {
	cause error
	code  connect.Code
}{
	{process.ErrSeen, connect.CodeAlreadyExists},
	{process.ErrUnknown, connect.CodeNotFound},
	{process.ErrOutOfRange, connect.CodeOutOfRange},
	{process.ErrSuperseded, connect.CodeAborted},
	{process.ErrFeeding, connect.CodeAborted},
	{process.ErrBadID, connect.CodeInvalidArgument},
	{process.ErrNoCommand, connect.CodeInvalidArgument},
	{process.ErrNoStdin, connect.CodeFailedPrecondition},
	{workload.ErrNotAttached, connect.CodeFailedPrecondition},
	{workload.ErrEnded, connect.CodeFailedPrecondition},
	{mounts.ErrFailed, connect.CodeDataLoss},
	{beneath.ErrRelative, connect.CodeInvalidArgument},
	{file.ErrNotRegular, connect.CodeFailedPrecondition},
	{tree.ErrUnsafe, connect.CodeInvalidArgument},
	{tar.ErrHeader, connect.CodeInvalidArgument},
	{io.ErrUnexpectedEOF, connect.CodeInvalidArgument},
	{os.ErrProcessDone, connect.CodeNotFound},
	{context.Canceled, connect.CodeCanceled},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	{unix.ENOTDIR, connect.CodeFailedPrecondition},
	{unix.EISDIR, connect.CodeFailedPrecondition},
	{unix.EXDEV, connect.CodePermissionDenied},
	{unix.ELOOP, connect.CodePermissionDenied},
	{unix.ENOSPC, connect.CodeResourceExhausted},
	{unix.EDQUOT, connect.CodeResourceExhausted},
	{unix.EMFILE, connect.CodeResourceExhausted},
	{unix.ENOMEM, connect.CodeResourceExhausted},
	{unix.EAGAIN, connect.CodeResourceExhausted},
	{unix.EINVAL, connect.CodeInvalidArgument},
	{unix.ENAMETOOLONG, connect.CodeInvalidArgument},
	{fs.ErrNotExist, connect.CodeNotFound},
	{fs.ErrExist, connect.CodeAlreadyExists},
	{fs.ErrPermission, connect.CodePermissionDenied},
	{fs.ErrInvalid, connect.CodeInvalidArgument},
}

func fail(err error) error {
	var known *connect.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, entry := range codes {
		if errors.Is(err, entry.cause) {
			return connect.NewError(entry.code, err)
		}
	}
	return connect.NewError(connect.CodeInternal, err)
}

func refuse(format string, values ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, values...))
}

func invalid(format string, values ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, values...))
}
