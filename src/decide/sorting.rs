//! The functions that sort a list, replacing the engine's: those of the standard library may panic if a comparison
//! contradicts itself, and the engine catches that only after the panic was reported, with a backtrace if the
//! environment enables one.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, FnPtr, FuncRegistration, Module, NativeCallContext};

use crate::decide::api::quantity::{ScriptResult, type_word};

/// Registers them, in place of those of the same names and arguments.
pub(super) fn register(library: &mut Module) {
    for name in ["sort", "sort_by"] {
        let sort = |context: NativeCallContext, list: &mut Array, compare: FnPtr| {
            sort(list, |left, right| asked(&context, &compare, left, right))
        };
        FuncRegistration::new(name).with_purity(false).set_into_module(library, sort);
    }
    for name in ["order", "order_by"] {
        let order = |context: NativeCallContext, list: &mut Array, compare: FnPtr| -> ScriptResult<Array> {
            let mut list = list.clone();
            sort(&mut list, |left, right| asked(&context, &compare, left, right))?;
            Ok(list)
        };
        FuncRegistration::new(name).with_purity(true).set_into_module(library, order);
    }
    for (in_place, copied, descending) in [("sort", "order", false), ("sort_desc", "order_desc", true)] {
        let sort = move |list: &mut Array| by_value(list, descending);
        FuncRegistration::new(in_place).with_purity(false).set_into_module(library, sort);
        let order = move |list: &mut Array| -> ScriptResult<Array> {
            let mut list = list.clone();
            by_value(&mut list, descending)?;
            Ok(list)
        };
        FuncRegistration::new(copied).with_purity(true).set_into_module(library, order);
    }
}

/// Sorts a list by binary insertion: stable, and terminates in some order whatever the comparison answers. The first
/// error aborts it.
fn sort(
    list: &mut [Dynamic],
    mut compare: impl FnMut(&Dynamic, &Dynamic) -> ScriptResult<Ordering>,
) -> ScriptResult<()> {
    for next in 1..list.len() {
        let (sorted, rest) = list.split_at(next);
        let (Some(last), Some(element)) = (sorted.last(), rest.first()) else { break };
        // Elements already in order cost one comparison each, as in the engine's own sort.
        if compare(last, element)? != Ordering::Greater {
            continue;
        }
        let mut failed = Ok(());
        let place = sorted.partition_point(|before| {
            failed.is_ok()
                && match compare(before, element) {
                    Ok(ordering) => ordering != Ordering::Greater,
                    Err(error) => {
                        failed = Err(error);
                        false
                    }
                }
        });
        failed?;
        if let Some(moved) = list.get_mut(place..=next) {
            moved.rotate_right(1);
        }
    }
    Ok(())
}

/// Calls a comparison function of the script, which returns a number or whether the first comes first.
fn asked(context: &NativeCallContext<'_>, compare: &FnPtr, left: &Dynamic, right: &Dynamic) -> ScriptResult<Ordering> {
    let answer = compare.call_raw(context, None, [left.clone(), right.clone()])?;
    match (answer.as_int(), answer.as_bool()) {
        (Ok(number), _) => Ok(number.cmp(&0)),
        (_, Ok(true)) => Ok(Ordering::Less),
        (_, Ok(false)) => Ok(Ordering::Greater),
        _ => {
            let answer = type_word(&answer);
            let message = format!("the comparison function returned {answer}, expected a whole number, true or false");
            Err(message.into())
        }
    }
}

fn by_value(list: &mut [Dynamic], descending: bool) -> ScriptResult<()> {
    let Some(first) = list.first().filter(|_| list.len() > 1) else { return Ok(()) };
    if list.iter().any(|other| other.type_id() != first.type_id()) {
        return Err("elements of different types cannot be sorted".into());
    }
    let pairs = |left: &Dynamic, right: &Dynamic| {
        let number = || Some(left.as_int().ok()?.cmp(&right.as_int().ok()?));
        let real = || Some(left.as_float().ok()?.total_cmp(&right.as_float().ok()?));
        let letter = || Some(left.as_char().ok()?.cmp(&right.as_char().ok()?));
        let flag = || Some(left.as_bool().ok()?.cmp(&right.as_bool().ok()?));
        let text =
            || Some(left.clone().into_immutable_string().ok()?.cmp(&right.clone().into_immutable_string().ok()?));
        number().or_else(real).or_else(letter).or_else(flag).or_else(text)
    };
    if pairs(first, first).is_none() {
        let kind = first.type_name();
        return Err(format!("elements of {kind} cannot be sorted: pass a comparison function").into());
    }
    sort(list, |left, right| {
        let ordering = pairs(left, right).unwrap_or(Ordering::Equal);
        Ok(if descending { ordering.reverse() } else { ordering })
    })
}
