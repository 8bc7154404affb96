"""vLLM's own fields on the SDK's types, kept as the SDK keeps whatever it does not know: among the extras.

A foreign tool that nests, dumps, copies or compares such an object finds what it would find on the stock
client's: `model_extra` has what the server sent and nothing else, and the type bears the SDK's name. What is
added is for whoever reads an attribute: it is typed, and there is a default where the server sent nothing.

The modules of these types evaluate their annotations: as texts they would be looked up under the SDK's name.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from openai import BaseModel

from .._wire.repairs import text_of

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

_NAMES: dict[type[BaseModel], str] = {}
"""What the classes are called in `vllm_connect.types`."""


class Extra(property, Generic[T]):
    """An attribute that is kept among the extras of its type.

    Args:
        default: what it reads as where the server sent nothing; None or an empty list, a new one each time.
    """

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        super().__init__(self._getter(name), _setter(name))

    def _getter(self, name: str) -> Callable[[BaseModel], T]:
        default: Any = self.default

        def get(model: BaseModel) -> Any:
            extra = model.__pydantic_extra__
            return extra.get(name, default) if extra else default

        def get_list(model: BaseModel) -> T:
            found: T = get(model)
            return found or default.copy()

        return get if default is None else get_list

    if TYPE_CHECKING:

        @overload  # type: ignore[override]  # more exact than a property's
        def __get__(self, model: None, owner: type, /) -> Self: ...
        @overload
        def __get__(self, model: object, owner: type, /) -> T: ...
        def __get__(self, model: object, owner: type, /) -> Self | T: ...
        def __set__(self, model: object, value: T, /) -> None: ...


class Reasoning(Extra[T]):
    """`reasoning`, also where the server calls it `reasoning_content`, as vLLM did before 0.16."""

    def _getter(self, name: str) -> Callable[[BaseModel], T]:
        default: Any = self.default

        def get(model: BaseModel) -> Any:
            extra = model.__pydantic_extra__
            if not extra:
                return default
            text = extra.get(name) or extra.get("reasoning_content") or extra.get(name)
            if text.__class__ is str:
                return text
            return default if text is None else text_of(text)

        return get


def _setter(name: str) -> Callable[[BaseModel, object], None]:
    def set_extra(model: BaseModel, value: object) -> None:
        if model.__pydantic_extra__ is None:
            object.__setattr__(model, "__pydantic_extra__", {})
        model.__pydantic_extra__[name] = value  # type: ignore[index]  # it is there now

    return set_extra


def stands_in(cls: type[ModelT]) -> type[ModelT]:
    """A class decorator: the name of the SDK's type that the class is made of, by which tools know it.

    Instances are pickled by our name, since the SDK's leads to the SDK's type.
    """
    sdks = cls.__bases__[0]
    _NAMES[cls] = cls.__name__
    cls.__module__, cls.__name__, cls.__qualname__ = sdks.__module__, sdks.__name__, sdks.__qualname__
    cls.__reduce_ex__ = _reduce  # type: ignore[assignment,method-assign]  # a method
    return cls


def _reduce(model: BaseModel, protocol: int) -> object:
    name = _NAMES.get(type(model))
    if name is None:  # a subclass of somebody else's
        return object.__reduce_ex__(model, protocol)
    return _restore, (name, model.__getstate__())


def _restore(name: str, state: dict[object, object]) -> BaseModel:
    cls: type[BaseModel] = getattr(import_module(__package__), name)
    model = cls.__new__(cls)
    model.__setstate__(state)
    return model
