"""A data source that a user wrote as a function: `@phalanx.dataset`."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from phalanx.core.errors import DataError
from phalanx.core.extensions import ExtensionError, find_extension, source_of
from phalanx.core.registry import add_option, travelling
from phalanx.core.signatures import Argument, SignatureError, read_signature, reserved_in
from phalanx.core.specs import constraint_of, keys_of, static
from phalanx.data.base import PLACES, DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures
from phalanx.data.given_arrays import PARTS, arrays_of
from phalanx.data.samples import raw_of

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class FunctionData(DataSpec):
    """Base of the specs that `dataset` makes of functions. Their keys are the function's keyword-only arguments."""

    _function: ClassVar[Callable[..., Any]]
    title: str | None = static(None, determines_numbers=False)
    normalize: str = static("feature", choices=("global", "feature", "none"))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return travelling(self)

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize)

    def read(self) -> Raw:
        """What the function returns, as `raw_of` takes it. Raises `DataError` if it fails or returns something else."""
        where = f"what data={self.name} returns ({self.source})"
        known = {field.name for field in dataclasses.fields(FunctionData)}
        given = {field.name: getattr(self, field.name) for field in keys_of(self) if field.name not in known}
        try:
            arrays = arrays_of(type(self)._function(**given))
        except DataError as error:
            raise DataError(f"{where} cannot be used:\n  - {error}") from error
        except Exception as error:
            values = f" with {', '.join(f'{name}={value!r}' for name, value in given.items())}" if given else ""
            raise DataError(f"data={self.name} fails{values}: {self._line(error)} ({self.source})") from error
        return raw_of(arrays, dict(zip(PARTS, arrays, strict=False)), where)

    def _line(self, error: Exception) -> str:
        """An error in one line, with the line of the user's file that it came from."""
        extension = find_extension(self.config_group, self.name)
        file = str(extension.source.file) if extension else ""
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f"{f'line {lines[-1]}: ' if lines else ''}{type(error).__name__}: {error}"


def function_data(function: Callable[..., Any]) -> type[FunctionData]:
    """The spec class of a function. Raises `ExtensionError` if its signature cannot be read."""
    source, name = source_of(function), function.__name__
    try:
        _, arguments = read_signature(function, (), reserved_in(FunctionData))
    except SignatureError as error:
        raise ExtensionError(f"{source.file}: {name}: {error}") from error
    own: dict[str, Any] = {"name": name, "_function": staticmethod(function), "source": str(source)}
    return dataclasses.make_dataclass(
        f"{name}_data", [(a.name, a.kind, _field(a)) for a in arguments], bases=(FunctionData,),
        namespace={**own, "__doc__": function.__doc__, "__module__": function.__module__}, frozen=True, kw_only=True,
    )  # fmt: skip


def _field(argument: Argument) -> Any:
    """The field of an argument. One that says where files are does not determine the numbers, their content does."""
    constraint = constraint_of(argument.field)
    if argument.name in PLACES:
        constraint = dataclasses.replace(constraint, determines_numbers=False)
    return dataclasses.field(default=argument.field.default, metadata={"constraint": constraint})


def dataset(function: F) -> F:
    """Makes a function an option of the config group `data`; returns it as it is.

    The function returns samples and classes `(x, y)`, the same with a test split `(x, y, test_x, test_y)`, or a
    map-style `torch.utils.data.Dataset` whose items are (sample, class). Samples are numbers (N, D), images (N, h, w)
    or (N, h, w, channels), as arrays, tensors or lists, or items that are images of PIL; classes are whole numbers or
    texts. Its keyword-only arguments are the option's keys.

    Args:
        function: The function.

    Raises:
        RequestError: The signature cannot be read, or the name is taken.

    Examples:
        >>> import numpy, phalanx
        >>> @phalanx.dataset  # doctest: +SKIP
        ... def embeddings(*, path: str = "vectors.npz"):
        ...     with numpy.load(path) as arrays:
        ...         return arrays["vectors"], arrays["labels"]
    """
    add_option(function_data(function), source_of(function))
    return function
