"""Old Word files (.doc), by whichever program on this machine reads them: LibreOffice, or antiword."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from policy_topics.documents import read_document
from serve.archive.faults import Damaged, Encrypted, NoConverter

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_SECONDS = 120


def is_old_word(data: bytes, name: str) -> bool:
    """Whether a file is an old Word file, or a new one with a password, which is packed in the same way."""
    return data.startswith(_OLE) and (name.lower().endswith((".doc", ".dot")) or _ENCRYPTED_PACKAGE in data)


def read_old_word(data: bytes) -> str:
    """The text, a line a paragraph.

    Raises:
        NoConverter, Damaged, Encrypted, DocumentError: it cannot be read.
    """
    if _ENCRYPTED_PACKAGE in data:
        raise Encrypted("encrypted; save it without a password. 文件已加密，请去除密码。")
    office, antiword = shutil.which("soffice"), shutil.which("antiword")
    if not office and not antiword:
        raise NoConverter(
            "an old Word file, and neither LibreOffice nor antiword is installed to read it; install one, or save it "
            "as .docx. 旧版 Word 文件，需安装 LibreOffice 或 antiword，或另存为 .docx。"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "old.doc")
        file.write_bytes(data)
        if office:
            # A profile of its own: two LibreOffices with one profile refuse to run side by side.
            profile = f"-env:UserInstallation={Path(folder, 'profile').as_uri()}"
            _run([office, profile, "--headless", "--convert-to", "docx", "--outdir", folder, str(file)])
            converted = file.with_suffix(".docx")
            if not converted.is_file():
                raise Damaged("LibreOffice could not read it; save it again. 文件已损坏，请重新保存。")
            return read_document(converted.read_bytes(), converted.name).text
        assert antiword is not None
        return _run([antiword, "-w", "0", "-m", "UTF-8.txt", str(file)]).decode("utf-8", "replace")


def _run(command: list[str]) -> bytes:
    # A session of its own, to be ended as a whole: `soffice` is a script, and what it starts would outlive it.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        try:
            output, errors = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired as fault:
            raise Damaged(f"not converted within {_SECONDS} s; save it as .docx. 转换超时，请另存为 .docx。") from fault
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip() or f"exit code {process.returncode}"
        raise Damaged(f"cannot be converted ({said[:300]}); save it as .docx. 无法转换，请另存为 .docx。")
    return output
