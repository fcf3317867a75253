"""The habits of scikit-learn's estimators; scikit-learn is imported only when it calls."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tortie.errors import UsageError
from tortie.evaluation.frames import check_container, contained
from tortie.forks import ForkSafeLock
from tortie.learning.options import FitOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.utils import Tags


class Estimator:
    """Arguments by name, tags, copies: what scikit-learn asks of an estimator.

    The constructor of a subclass stores its arguments as they are, and nothing else.
    """

    __slots__ = ("_lock",)  # not an argument, so not among vars(), which scikit-learn compares
    _lock: ForkSafeLock

    _PARAMETERS: ClassVar[tuple[str, ...]] = tuple(FitOptions.model_fields)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An estimator with a lock of its own, also where it is copied or unpickled."""
        made = super().__new__(cls)
        made._lock = ForkSafeLock()
        return made

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that the classifier was made with, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in self._PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments by name, as scikit-learn does.

        Raises:
            UsageError: no such argument.
        """
        for name in params:
            if name not in self._PARAMETERS:
                raise UsageError(f"no argument {name!r}: {', '.join(self._PARAMETERS)}")
        with self._lock:
            for name, value in params.items():
                setattr(self, name, value)
            self._changed()
        return self

    def set_output(self, *, transform: str | None = None) -> Self:
        """What ``transform`` gives, as scikit-learn's transformers are told.

        Args:
            transform: ``"default"`` for an array, ``"pandas"`` or ``"polars"`` for a table of
                theirs with ``get_feature_names_out`` as columns; ``None`` changes nothing.

        Raises:
            UsageError: no such container.
        """
        if transform is not None:
            check_container(transform)
            # Under scikit-learn's name, as its ``clone`` takes that along.
            vars(self)["_sklearn_output_config"] = {"transform": transform}
        return self

    def _contained(self, features: "NDArray[np.float32]", names: Sequence[str]) -> Any:
        """Features ``(N, D)`` in the container that was asked for, here or of all estimators."""
        known = sys.modules.get("sklearn")
        everywhere = known.get_config()["transform_output"] if known else "default"
        own = getattr(self, "_sklearn_output_config", {})
        return contained(features, names, own.get("transform", everywhere))

    def _changed(self) -> None:
        """Arguments have changed: what was made of them is made anew."""

    def _transient(self) -> dict[str, Any]:
        """Attributes that a copy or a pickle does not take along, and what they are there."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: all but engines and locks, which are made anew."""
        with self._lock:
            return {**vars(self), **self._transient()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The classifier of a copy or a pickle."""
        vars(self).update(state)

    def __repr__(self) -> str:
        """The arguments that are not the defaults, as scikit-learn shows them."""
        defaults = type(self)().get_params()
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @staticmethod
    def _not_fitted() -> UsageError:
        """The error of asking an unfitted estimator; scikit-learn's own where it calls."""
        message = "this classifier is not fitted yet: call fit, or tortie.load a file"
        known = sys.modules.get("sklearn.exceptions")
        if known is None:
            return UsageError(message)
        kind = type("NotFittedError", (UsageError, known.NotFittedError), {})
        error: UsageError = kind(message)
        return error

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it is fitted, as scikit-learn's ``check_is_fitted`` asks."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> "Tags":
        """What scikit-learn asks before it uses a classifier: it takes images and needs labels."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=TransformerTags(),
            classifier_tags=ClassifierTags(),
            regressor_tags=None,
            input_tags=InputTags(two_d_array=False, three_d_array=True, string=True),
        )
